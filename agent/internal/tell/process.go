package tell

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// signalProgram signals all programs of that name, but none that another of
// them has started: those are its workers, which it tells by itself.
func signalProgram(name, signalName string) error {
	signal, err := parseSignal(signalName)
	if err != nil {
		return err
	}
	programs, err := findPrograms(name)
	if err != nil {
		return err
	}
	told, err := sendAll(programs, signal, name)
	if told == 0 && err == nil {
		return errors.New("no program of this name is to be seen: the pod needs shareProcessNamespace: true, and the name is that in /proc/PID/comm, or of the file that /proc/PID/cmdline begins with")
	}
	return err
}

// sendAll counts those that were told. One that ended since it was found is as
// if it had never been there.
func sendAll(pids []int, signal syscall.Signal, name string) (told int, err error) {
	for _, pid := range pids {
		switch failed := send(pid, signal, func(p process) bool { return p.named(name) }); {
		case failed == nil:
			told++
		case !errors.Is(failed, os.ErrProcessDone):
			err = errors.Join(err, failed)
		}
	}
	return told, err
}

func findPrograms(name string) (pids []int, err error) {
	found, err := scan(name)
	if err != nil {
		return nil, fmt.Errorf("look for the process: %w", err)
	}
	for pid, p := range found {
		if _, worker := found[p.parent]; !worker {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// scan gives all processes of that name but this one. Number 1 may be among
// them: where one container has joined the namespace of another, it is the
// application.
func scan(name string) (map[int]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	found := map[int]process{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if p, err := readProcess(pid); err == nil && p.named(name) {
			found[pid] = p
		}
	}
	return found, nil
}
