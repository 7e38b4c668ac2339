package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
)

// A tally counts what histories met, by table and row.
type tally struct {
	mu     sync.Mutex
	counts map[string]map[string]int
}

func newTally() *tally { return &tally{counts: map[string]map[string]int{}} }

func (t *tally) add(table, row string) { t.addN(table, row, 1) }

func (t *tally) addN(table, row string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts[table] == nil {
		t.counts[table] = map[string]int{}
	}
	t.counts[table][row] += n
}

// merge adds what another one counted.
func (t *tally) merge(o *tally) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for table, rows := range o.counts {
		for row, n := range rows {
			t.addN(table, row, n)
		}
	}
}

// expect makes a row of what must not stay at zero.
func (t *tally) expect() {
	for _, k := range kinds() {
		t.addN("change", k.name, 0)
	}
	for _, k := range idKinds {
		t.addN("_id", k.name, 0)
	}
	for _, k := range bodyKinds {
		t.addN("document", k.name, 0)
	}
	for _, f := range faultKinds() {
		t.addN("fault", f.name, 0)
	}
	for _, c := range crashPoints() {
		t.addN(crashTable, c.row(), 0)
	}
	for _, c := range choices() {
		t.addN("choice", c.name, 0)
	}
	for _, e := range endings {
		t.addN("ending", e, 0)
	}
}

const crashTable = "crash point"

// leastDeaths is how often a node must have died at each crash point, in a session
// of 2,000 histories or more.
const leastDeaths = 20

// print writes the tables and returns the rows at zero, and the crash points below
// leastDeaths.
func (t *tally) print(w io.Writer) (missing []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, table := range slices.Sorted(maps.Keys(t.counts)) {
		fmt.Fprintf(w, "\n%s\n", table)
		for _, row := range slices.Sorted(maps.Keys(t.counts[table])) {
			n := t.counts[table][row]
			fmt.Fprintf(w, "  %8d  %s\n", n, row)
			if n == 0 || table == crashTable && n < leastDeaths {
				missing = append(missing, table+": "+row)
			}
		}
	}
	return missing
}
