package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// shrinkLimit bounds what is spent on one failure.
const shrinkLimit = 30 * time.Second

// attempts is how often a smaller history is played before it counts as one that
// does not fail: in which order goroutines run is not fixed by a seed.
const attempts = 2

// shrink leaves parts out of a history as long as it still fails, and tells what is
// left and how to play it.
func shrink(seed uint64, res *Result) string { return shrinkBy(seed, res, failure) }

func shrinkBy(seed uint64, res *Result, failure func(p *Plan) *Result) string {
	whole := newPlan(seed)
	keep := make([]int, whole.parts())
	for i := range keep {
		keep[i] = i
	}
	began, last := time.Now(), res
	for size := (len(keep) + 1) / 2; size > 0 && time.Since(began) < shrinkLimit; size /= 2 {
		for at := 0; at < len(keep) && time.Since(began) < shrinkLimit; {
			smaller := slices.Delete(slices.Clone(keep), at, min(at+size, len(keep)))
			if f := failure(whole.only(smaller)); f != nil {
				keep, last = smaller, f
				continue
			}
			at += size
		}
	}
	parts := make([]string, 0, len(keep))
	for _, k := range keep {
		parts = append(parts, fmt.Sprint(k))
	}
	if len(parts) == 0 {
		parts = []string{"-1"}
	}
	return fmt.Sprintf("seed %d failed: %v\n  first as: %v\n  make soak FROM=%d KEEP=%s\n%v", seed, last.Err, res.Err, seed, strings.Join(parts, ","), last.Plan)
}

// failure plays a history a few times and returns a failure, nil if there is none.
func failure(p *Plan) *Result {
	for range attempts {
		if res := play(p); res.Err != nil {
			return res
		}
	}
	return nil
}
