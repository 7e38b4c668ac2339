package rehearse

import "runtime"

// BenchReport is what a benchmark measured. Times are wall time in seconds; a
// GB is 10^9 bytes of documents. Costs are those of the process that syncs, not
// of the clusters.
type BenchReport struct {
	Format     int             `json:"format"` // of this document
	Version    string          `json:"version"`
	Machine    BenchMachine    `json:"machine"`
	Parameters BenchParameters `json:"parameters"`
	Load       BenchWork       `json:"load"`
	Copy       BenchWork       `json:"copy"`
	CatchUp    BenchEvents     `json:"catch_up"` // events that were written while the sync was paused
	Live       BenchEvents     `json:"live"`     // events that were applied while they were written
	Verify     BenchVerify     `json:"verify"`
	Commit     BenchCommit     `json:"commit"`
	Process    BenchProcess    `json:"process"`
}

// BenchMachine is where it ran. What else ran there is not known.
type BenchMachine struct {
	Cores int    `json:"cores"`
	Go    string `json:"go"`
	OS    string `json:"os"`
	Arch  string `json:"arch"`
}

func thisMachine() BenchMachine {
	return BenchMachine{Cores: runtime.GOMAXPROCS(0), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
}

// BenchParameters say what is measured. The same parameters give the same
// documents and changes.
type BenchParameters struct {
	Docs       int    `json:"docs"`
	DocBytes   int    `json:"doc_bytes"` // of a document on average
	Events     int    `json:"events"`
	Shards     int    `json:"shards"`
	DestShards int    `json:"dest_shards"`
	Lanes      int    `json:"lanes"`
	Copiers    int    `json:"copiers"`
	Seed       uint64 `json:"seed"`
}

// BenchCost is what a phase took of the machine.
type BenchCost struct {
	CPU  *float64 `json:"cpu_seconds"`    // null where it cannot be read for a phase
	Peak *int64   `json:"peak_rss_bytes"` // within the phase; null as above
}

// BenchWork is a phase that moves documents.
type BenchWork struct {
	Documents int64   `json:"documents"`
	Bytes     int64   `json:"bytes"`
	Seconds   float64 `json:"seconds"`
	Rate      float64 `json:"documents_per_second"`
	MBRate    float64 `json:"mb_per_second"`
	BenchCost
	CPUPerGB *float64 `json:"cpu_seconds_per_gb"`
}

func (w *BenchWork) conclude() {
	if w.Seconds > 0 {
		w.Rate, w.MBRate = float64(w.Documents)/w.Seconds, float64(w.Bytes)/1e6/w.Seconds
	}
	w.CPUPerGB = per(w.CPU, float64(w.Bytes)/1e9)
}

// BenchEvents is a phase that applies change events.
type BenchEvents struct {
	Events  int64   `json:"events"`
	Repairs int64   `json:"repairs"` // documents that were read again
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"events_per_second"`
	BenchCost
	CPUPerMillion *float64 `json:"cpu_seconds_per_million_events"`
}

func (e *BenchEvents) conclude() {
	if e.Seconds > 0 {
		e.Rate = float64(e.Events) / e.Seconds
	}
	e.CPUPerMillion = per(e.CPU, float64(e.Events)/1e6)
}

// BenchVerify is a comparison of the two clusters.
type BenchVerify struct {
	BenchWork
	Differences int64 `json:"differences"`
}

// BenchCommit is a commit without load. It was polled, so that a step which was
// shorter than a poll may be missing.
type BenchCommit struct {
	BlockedMS int64            `json:"writes_blocked_ms"`
	Documents int64            `json:"documents_verified"`
	Steps     map[string]int64 `json:"steps_ms"`
}

// BenchProcess is the whole life of the process that synced, as the system
// counted it.
type BenchProcess struct {
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"`
	Peak    int64   `json:"peak_rss_bytes"`
}

func per(cost *float64, amount float64) *float64 {
	if cost == nil || amount <= 0 {
		return nil
	}
	v := *cost / amount
	return &v
}
