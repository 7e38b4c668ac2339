package capacity

import (
	"fmt"
	"strings"
)

// Table returns results as a table of a document.
func Table(results []Result) string {
	var b strings.Builder
	row := func(name string, of func(Result) string) {
		b.WriteString("| " + name + " |")
		for _, r := range results {
			b.WriteString(" " + of(r) + " |")
		}
		b.WriteString("\n")
	}
	row("shards", func(r Result) string { return fmt.Sprint(r.Shards) })
	b.WriteString("|" + strings.Repeat(" --- |", len(results)+1) + "\n")
	for _, line := range []struct {
		name string
		of   func(Result) string
	}{
		{"copy tasks", func(r Result) string { return fmt.Sprint(r.Tasks) }},
		{"collections", func(r Result) string { return fmt.Sprint(r.Collections) }},
		{"reports per second, wanted", func(r Result) string { return fmt.Sprintf("%.0f", r.Wanted) }},
		{"reports per second, taken", func(r Result) string { return fmt.Sprintf("%.0f", r.Reports) }},
		{"commands per second", func(r Result) string { return fmt.Sprintf("%.0f", r.Commands) }},
		{"until a report is answered, half of them", func(r Result) string { return fmt.Sprintf("%.0f ms", r.P50) }},
		{"until a report is answered, 99 of 100", func(r Result) string { return fmt.Sprintf("%.0f ms", r.P99) }},
		{"processors busy, three nodes", func(r Result) string { return fmt.Sprintf("%.2f", r.CPU) }},
		{"memory in use, three nodes", func(r Result) string { return megabytes(r.Heap) }},
		{"leaders lost meanwhile", func(r Result) string { return fmt.Sprint(r.Lost) }},
		{"first leader after", func(r Result) string { return fmt.Sprintf("%.1f s", r.Election) }},
		{"next leader after the end of the first", func(r Result) string { return fmt.Sprintf("%.1f s", r.Failover) }},
		{"largest log entry (the plan)", func(r Result) string { return megabytes(r.PlanSize) }},
		{"until it is applied", func(r Result) string { return fmt.Sprintf("%.2f s", r.PlanTime) }},
		{"state", func(r Result) string { return megabytes(r.PlainSize) }},
		{"snapshot", func(r Result) string { return megabytes(r.SnapshotSize) }},
		{"made in", func(r Result) string { return fmt.Sprintf("%.2f s", r.SnapshotTime) }},
		{"log on disk", func(r Result) string { return megabytes(r.LogSize) }},
	} {
		row(line.name, line.of)
	}
	return b.String()
}

func megabytes(n int64) string {
	if n < 100_000 {
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}
