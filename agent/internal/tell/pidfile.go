package tell

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// signalPIDFile signals the process whose id the file holds now.
func signalPIDFile(name, signalName string) error {
	signal, err := parseSignal(signalName)
	if err != nil {
		return err
	}
	pid, err := readPIDFile(name)
	if err != nil {
		return err
	}
	err = send(pid, signal, process.running)
	if errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal process %d: %w: the file is stale, or the pod does not have shareProcessNamespace: true", pid, err)
	}
	return err
}

// readPIDFile trusts the file little, since the application writes it: a pipe
// in its place would hold up the agent.
func readPIDFile(name string) (int, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return 0, errors.New("it is not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxPIDLine+1))
	if err != nil {
		return 0, err
	}
	return parsePID(data)
}

// maxPIDLine is more than an id and the white space around it need.
const maxPIDLine = 32

// parsePID takes the first line: PostgreSQL writes more than the id. A
// negative number would be a group of processes, and 0 our own group. Number 1
// is the pod's first process and not the application, which calls itself that
// where the pod does not share its process namespace.
func parsePID(content []byte) (int, error) {
	line, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.ParseInt(strings.TrimSpace(line), 10, 32)
	switch {
	case err != nil || len(line) > maxPIDLine || pid <= 0:
		return 0, errors.New("it does not hold the id of a process")
	case pid == 1 || int(pid) == os.Getpid():
		return 0, errors.New("it holds an id that is not the application's here: the pod needs shareProcessNamespace: true")
	}
	return int(pid), nil
}
