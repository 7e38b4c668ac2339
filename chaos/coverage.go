package chaos

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Nodes is what a run with several nodes showed.
type Nodes struct {
	Count  int    `json:"nodes,omitempty"`
	Hits   []Cell `json:"hits,omitempty"`
	Missed int    `json:"missed,omitempty"` // faults whose place came without a node to hit
}

// flag returns what repeats a run beside its seed.
func (n Nodes) flag() string {
	if n.Count > 1 {
		return fmt.Sprintf(" --nodes %d", n.Count)
	}
	return ""
}

// told returns what the fleet has suffered.
func (f *fleet) told(p Plan) Nodes {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Nodes{Count: p.Nodes, Hits: f.hits, Missed: len(p.NodeFaults) - len(f.hits)}
}

// RunNodes plays the run of one seed with so many nodes.
func RunNodes(seed uint64, nodes int) Result { return run(NewNodesPlan(seed, nodes), nil) }

// A Coverage counts how often faults struck nodes, by cell.
type Coverage struct {
	hits map[Cell]int
	runs int
	long time.Duration // the longest that no cluster took writes
}

// Add counts what one run has hit. A run that failed counts too: its violations
// are told by themselves.
func (c *Coverage) Add(r Result) {
	if c.hits == nil {
		c.hits = map[Cell]int{}
	}
	for _, h := range r.Nodes.Hits {
		c.hits[h]++
	}
	c.runs++
	c.long = max(c.long, r.Blocked)
}

// Lacks lists the cells that were not hit often enough: each victim half of the
// times.
func (c *Coverage) Lacks(each int) []Cell {
	var out []Cell
	for _, cell := range Cells() {
		if c.hits[cell] < (each+1)/2 {
			out = append(out, cell)
		}
	}
	return out
}

// Seeds lists the seeds that are to be tried until every cell was hit so often.
// Most of them are for cells that others did not come to.
func (c *Coverage) Seeds(each int) []uint64 {
	most := 0
	for _, part := range parts() {
		most = max(most, len(part))
	}
	seeds := make([]uint64, 0, 2*most*(each+1))
	for i := range 2 * most * (each + 1) {
		seeds = append(seeds, uint64(i+1))
	}
	return seeds
}

// Wanted reports whether the plan of a seed would hit anything that lacks.
func (c *Coverage) Wanted(p Plan, each int) bool {
	lacks := c.Lacks(each)
	return slices.ContainsFunc(p.NodeFaults, func(f NodeFault) bool { return slices.Contains(lacks, f.Cell) })
}

// Coverage prints what was hit how often.
func (p *Printer) Coverage(c *Coverage) error {
	if p.JSON {
		type row struct {
			Cell
			Hits int `json:"hits"`
		}
		rows := make([]row, 0, len(Cells()))
		for _, cell := range Cells() {
			rows = append(rows, row{cell, c.hits[cell]})
		}
		return json.NewEncoder(p.W).Encode(map[string]any{"event": "coverage", "runs": c.runs, "cells": rows})
	}
	_, err := io.WriteString(p.W, c.String())
	return err
}

// width returns that of a kind's column.
func width(k NodeKind) int { return max(len(k), len("10 + 10")) }

// String returns the table: a row for each place, a column for each kind, and in
// it how often the leader was hit and how often another worker.
func (c *Coverage) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d runs; how often the leader + a worker was hit; no cluster took writes for %v at most\n", c.runs, c.long.Round(time.Millisecond))
	fmt.Fprintf(&b, "%-20s", "")
	for _, k := range NodeKinds() {
		fmt.Fprintf(&b, "  %*s", width(k), k)
	}
	b.WriteByte('\n')
	for _, p := range Places() {
		fmt.Fprintf(&b, "%-20s", p)
		for _, k := range NodeKinds() {
			fmt.Fprintf(&b, "  %*s", width(k), fmt.Sprintf("%d + %d", c.hits[Cell{p, k, Leader}], c.hits[Cell{p, k, Worker}]))
		}
		b.WriteByte('\n')
	}
	return b.String()
}
