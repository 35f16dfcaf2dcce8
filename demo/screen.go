package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
)

// screen is where the demo tells what it does, in colour where a person looks.
type screen struct {
	out    io.Writer
	colour bool
	steps  int
}

func newScreen(out *os.File) *screen {
	info, err := out.Stat()
	person := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &screen{out: out, colour: person && os.Getenv("NO_COLOR") == ""}
}

func (s *screen) paint(code, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *screen) step(title string) {
	s.steps++
	fmt.Fprintf(s.out, "\n%s %s\n", s.paint("1;36", fmt.Sprintf("%d.", s.steps)), s.paint("1", title))
}

func (s *screen) say(format string, args ...any) {
	fmt.Fprintf(s.out, "   "+format+"\n", args...)
}

// table prints rows in columns under a head.
func (s *screen) table(head []string, rows [][]string) {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{head}, rows...) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	w.Flush()
	for i, line := range strings.Split(strings.TrimRight(text.String(), "\n"), "\n") {
		if line = strings.TrimRight(line, " "); i == 0 {
			line = s.paint("2", line)
		}
		s.say("%s", line)
	}
}
