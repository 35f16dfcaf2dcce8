package tell

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// process is what /proc says of a process. See proc(5).
type process struct {
	parent    int
	comm      string // the name that the kernel keeps: of the file, or what the process chose
	arguments []string
}

// maxComm is where the kernel cuts comm.
const maxComm = 15

// running is false for what takes a signal and does nothing with it: what has
// ended and waits for its parent, and the threads of the kernel. Neither has a
// command line.
func (p process) running() bool { return len(p.arguments) > 0 }

// named reports whether it runs, and the name is that of the program. Where
// comm was cut, the arguments say how it goes on: the first, or the second of a
// script, whose first is the interpreter.
func (p process) named(name string) bool {
	if !p.running() {
		return false
	}
	if programName(p.arguments[0]) == name {
		return true
	}
	if len(p.comm) < maxComm {
		return p.comm == name
	}
	for _, argument := range p.arguments[:min(2, len(p.arguments))] {
		if full := programName(argument); strings.HasPrefix(full, p.comm) {
			return full == name
		}
	}
	return strings.HasPrefix(name, p.comm)
}

// programName also knows "name: what I do", which many servers have put in the
// place of their arguments.
func programName(argument string) string {
	command, _, _ := strings.Cut(argument, ": ")
	return filepath.Base(command)
}

func readProcess(pid int) (p process, err error) {
	folder := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := readStart(filepath.Join(folder, "stat"))
	if err != nil {
		return p, err
	}
	commandLine, err := readStart(filepath.Join(folder, "cmdline"))
	if err != nil {
		return p, err
	}
	if len(commandLine) > 0 {
		p.arguments = strings.Split(string(commandLine), "\x00")
	}
	p.comm, p.parent, err = parseStat(stat)
	return p, err
}

// parseStat reads "PID (COMM) STATE PARENT ...". COMM may hold anything, so its
// end is the last parenthesis.
func parseStat(stat []byte) (comm string, parent int, err error) {
	start, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if start < 0 || end < start {
		return "", 0, errors.New("a stat file of /proc has no name in it")
	}
	var state string
	_, err = fmt.Sscan(string(stat[end+1:]), &state, &parent)
	return string(stat[start+1 : end]), parent, err
}

// readStart reads what is needed of a file: a command line can be megabytes.
func readStart(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 8<<10))
}
