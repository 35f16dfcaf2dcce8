package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// report is all that was measured.
type report struct {
	Machine machine         `json:"machine"`
	Seconds float64         `json:"secondsPerCell"`
	Cells   []cell          `json:"cells"`
	Servers []serverFigures `json:"servers"`
	Agent   *agentFigures   `json:"agent,omitempty"`
}

// cell is the figures of one operation on one engine.
type cell struct {
	Engine    string  `json:"engine"`
	Operation string  `json:"operation"`
	Clients   int     `json:"clients"`
	Requests  int     `json:"requests"`
	PerCPU    float64 `json:"requestsPerServerCPUSecond"`
	PerSecond float64 `json:"requestsPerSecond"`
	P50MS     float64 `json:"p50ms"`
	P99MS     float64 `json:"p99ms"`
	Batch     float64 `json:"meanAuditRowsPerBatch,omitempty"`
	Postgres  float64 `json:"postgresMicrosecondsPerRequest,omitempty"`
}

type serverFigures struct {
	Engine    string  `json:"engine"`
	Version   string  `json:"version"`
	ReadyMS   float64 `json:"readyMs"`
	IdleKiB   int64   `json:"idleResidentKiB"`
	LoadedKiB int64   `json:"loadedResidentKiB"`
}

type agentFigures struct {
	BinaryBytes  int64   `json:"binaryBytes"`
	ResidentKiB  int64   `json:"residentKiB"`
	AnonymousKiB int64   `json:"anonymousKiB"`
	RestUS       float64 `json:"restMicrosecondsPerMinute"`
	FilesMS      float64 `json:"filesMs"`
	SwapMS       float64 `json:"swapMs"`
	RefusalKiB   int64   `json:"refusalPeakKiB"`
}

func newCell(engine, operation string, clients int, period time.Duration, latencies []time.Duration, before, after usage) cell {
	slices.Sort(latencies)
	n := float64(len(latencies))
	c := cell{Engine: engine, Operation: operation, Clients: clients, Requests: len(latencies), PerSecond: n / period.Seconds(),
		P50MS: percentile(latencies, 50), P99MS: percentile(latencies, 99), Postgres: float64((after.postgres - before.postgres).Microseconds()) / n}
	if used := after.server - before.server; used > 0 {
		c.PerCPU = n / used.Seconds()
	}
	if batches := after.batches - before.batches; batches > 0 {
		c.Batch = (after.rows - before.rows) / batches
	}
	return c
}

// percentile is in milliseconds; sorted is not empty.
func percentile(sorted []time.Duration, percent int) float64 {
	return float64(sorted[(len(sorted)-1)*percent/100].Microseconds()) / 1000
}

// aims are the goals for requests per server CPU-second on PostgreSQL at 64
// clients.
func aim(c cell) (goal float64, ok bool) {
	if c.Clients != 64 || c.Engine != "postgres" {
		return 0, false
	}
	goal, ok = map[string]float64{"login": 6000, "read": 10000, "folder": 3000, "304": 20000, "write": 2500}[c.Operation]
	return goal, ok
}

func (r *report) save(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func (r *report) print(out io.Writer) error {
	m := r.Machine
	fmt.Fprintf(out, "%s, %d cores, %d GiB, Linux %s, %s; %g s a cell\n\n", m.CPU, m.Cores, m.MemoryMiB>>10, m.Kernel, m.Go, r.Seconds)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "engine\tclients\toperation\treq/cpu-s\taim\treq/s\tp50 ms\tp99 ms\trows/batch\tpg us/op\t")
	for _, c := range r.Cells {
		goal := "-"
		if g, ok := aim(c); ok {
			goal = fmt.Sprintf("%.0f (%+.0f%%)", g, 100*(c.PerCPU/g-1))
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%.0f\t%s\t%.0f\t%.2f\t%.2f\t%s\t%s\t\n",
			c.Engine, c.Clients, c.Operation, c.PerCPU, goal, c.PerSecond, c.P50MS, c.P99MS, figure(c.Batch), figure(c.Postgres))
	}
	fmt.Fprintln(table, "\nserver\t\t\tready ms\taim\tidle MiB\taim\tloaded MiB\t\t\t")
	for _, s := range r.Servers {
		fmt.Fprintf(table, "%s\t\t\t%.0f\t500\t%.1f\t60\t%.1f\t\t\t\n", s.Engine, s.ReadyMS, float64(s.IdleKiB)/1024, float64(s.LoadedKiB)/1024)
	}
	if a := r.Agent; a != nil {
		a.print(table)
	}
	return table.Flush()
}

func (a *agentFigures) print(table io.Writer) {
	fmt.Fprintln(table, "\nagent\t\t\tmeasured\taim\t\t\t\t\t")
	for _, row := range []struct {
		what     string
		measured float64
		aim      string
	}{
		{"binary, MB", float64(a.BinaryBytes) / 1e6, "10"},
		{fmt.Sprintf("RSS with %d keys, MiB", agentKeys), float64(a.ResidentKiB) / 1024, "12"},
		{"of it anonymous, MiB", float64(a.AnonymousKiB) / 1024, "5"},
		{"CPU of a minute at rest, ms", a.RestUS / 1000, "1"},
		{"start to files, ms", a.FilesMS, "100"},
		{fmt.Sprintf("answer to swap, %d keys, ms", swapKeys), a.SwapMS, "5"},
		{"peak while refusing 64 MB, MiB", float64(a.RefusalKiB) / 1024, "48"},
	} {
		fmt.Fprintf(table, "%s\t\t\t%.2f\t%s\t\t\t\t\t\n", row.what, row.measured, row.aim)
	}
}

func figure(f float64) string {
	if f == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", f)
}
