package main

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// limitMemory keeps the process small: it collects early, and stays well below
// the limit of its container, which counts the files on the tmpfs too.
func limitMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if limit := containerLimit("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"); limit > 0 {
		debug.SetMemoryLimit(limit / 10 * 6)
	}
}

// containerLimit is the memory limit of the container in bytes, by the first of
// the files of cgroup v2 and v1 that is there; 0 if there is none.
func containerLimit(files ...string) int64 {
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil || limit > math.MaxInt64/2 { // "max", or what v1 says for no limit
			return 0
		}
		return limit
	}
	return 0
}
