package api

import (
	"context"
	"time"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/verify"
)

// A Controller carries out what arrives over HTTP. Methods are called from many
// goroutines at once. from is the caller's address, for the audit log.
type Controller interface {
	Start(ctx context.Context, req StartRequest, from string) error
	Pause(ctx context.Context, from string) error
	Resume(ctx context.Context, from string) error
	RecopyLost(ctx context.Context, from string) error // Resume, and what is gone from an oplog is copied again
	Commit(ctx context.Context, from string) error
	Reverse(ctx context.Context, from string) error
	Rollback(ctx context.Context, from string) error
	Progress(ctx context.Context) (Progress, error)
	Verify(ctx context.Context) (verify.Report, error)

	// Answer carries a command out by calling do, which calls one of the methods
	// above with its context, and keeps what came of it. A key that it has seen
	// before gets its first answer again, and do is not called.
	Answer(ctx context.Context, req Request, do func(context.Context) error) error

	// Audit returns what was asked at or after a time, oldest first.
	Audit(ctx context.Context, since time.Time) ([]AuditEntry, error)
}

// A Request says what is asked, and by whom.
type Request struct {
	Command string
	By      string // the name of the token, empty if there are none
	From    string // the caller's address
	Key     string // of the header Idempotency-Key, may be empty
	With    string // the fields, as JSON in one form; empty if there are none
}

// An AuditEntry is a command that was carried out or refused.
type AuditEntry struct {
	At      time.Time  `json:"at"`
	Command string     `json:"command"`
	By      string     `json:"by,omitempty"`    // the name of the token
	From    string     `json:"from"`            // the caller's address, or the part of the program that did it by itself
	With    string     `json:"with,omitempty"`  // the fields of the command, cut if they are long
	Error   string     `json:"error,omitempty"` // the name of the error if it was refused
	Text    string     `json:"errorDescription,omitempty"`
	Times   int        `json:"times,omitempty"` // if the same was refused several times in a row
	Last    *time.Time `json:"last,omitempty"`  // of these times
}

// AuditResponse is the answer to GET /api/v1/audit.
type AuditResponse struct {
	Result
	Audit []AuditEntry `json:"audit"`
}

// TokensResponse is the answer to GET /api/v1/tokens.
type TokensResponse struct {
	Result
	Tokens []TokenInfo `json:"tokens"`
}

// ResumeRequest is the body of POST /api/v1/resume.
type ResumeRequest struct {
	RecopyLost bool `json:"recopyLost,omitempty" doc:"copy shards again whose changes are gone from the source's oplog"`
}

// StartRequest is the body of POST /api/v1/start.
type StartRequest struct {
	Source      string `json:"source" doc:"cluster0 or cluster1" example:"cluster0"`
	Destination string `json:"destination" doc:"the other one" example:"cluster1"`
	Reversible  *bool  `json:"reversible,omitempty" doc:"keep the way back open; default true where the user may pass a write block"`

	KeepBalancer bool `json:"keepBalancer,omitempty" doc:"let the balancer of the source run on; what it moves is followed"`

	WithUsers bool `json:"withUsers,omitempty" doc:"bring users and roles over too, with their credentials"`

	shardferry.Selection
}

// Result is the answer to a command, and the frame of the answer to progress.
type Result struct {
	Success     bool   `json:"success"`
	Outcome     string `json:"outcome,omitempty"`          // of a command: accepted, refused or unknown
	Error       string `json:"error,omitempty"`            // the error's name
	Description string `json:"errorDescription,omitempty"` // what happened, what was kept, what to do next
}

// ProgressResponse is the answer to GET /api/v1/progress.
type ProgressResponse struct {
	Result
	Progress *Progress `json:"progress,omitempty"`
}

// VerifyResponse is the answer to GET /api/v1/verify.
type VerifyResponse struct {
	Result
	Report *verify.Report `json:"report,omitempty"`
}

// Progress says where a sync stands. A nil pointer means unknown, never zero.
// The fields down to Warnings are mongosync's.
type Progress struct {
	State          shardferry.State `json:"state"`
	CanCommit      bool             `json:"canCommit"`
	CanWrite       bool             `json:"canWrite"`
	Info           string           `json:"info"`
	Lag            *Lag             `json:"lag"`
	LagTimeSeconds *int64           `json:"lagTimeSeconds"`
	TotalEvents    int64            `json:"totalEventsApplied"`
	CollectionCopy CollectionCopy   `json:"collectionCopy"`
	IndexBuilding  IndexBuilding    `json:"indexBuilding"`
	Directions     Directions       `json:"directionMapping"`
	MongosyncID    string           `json:"mongosyncID"`
	CoordinatorID  string           `json:"coordinatorID"`
	Warnings       []string         `json:"warnings"`
	Detail         Detail           `json:"shardferry"`
}

// Lag is how far the destination is behind the source, in whole seconds.
type Lag struct {
	Overall int64 `json:"overallLagSeconds"`
}

// CollectionCopy counts the bytes of the initial copy. Estimated is null until
// it is known.
type CollectionCopy struct {
	Estimated *int64 `json:"estimatedTotalBytes"`
	Copied    int64  `json:"estimatedCopiedBytes"`
}

// IndexBuilding counts the indexes that are built after the copy.
type IndexBuilding struct {
	Built int `json:"indexesBuilt"`
	Total int `json:"totalIndexesToBuild"`
}

// Directions names the clusters between which changes flow now.
type Directions struct {
	Source      string `json:"Source"`
	Destination string `json:"Destination"`
}

// Detail is what shardferry adds to mongosync's fields.
type Detail struct {
	Phase           string  `json:"phase"`
	Direction       string  `json:"direction"` // forward or reverse
	Waiting         string  `json:"waiting,omitempty"`
	Hold            string  `json:"hold,omitempty"` // why it paused by itself
	DocumentsCopied int64   `json:"documentsCopied"`
	TasksDone       int     `json:"copyTasksDone"`
	TasksTotal      int     `json:"copyTasksTotal"`
	Repairs         int64   `json:"repairs"` // documents read again from the source
	ResumePoint     Time    `json:"resumePoint"`
	Shards          []Shard `json:"shards"`
	Nodes           []Node  `json:"nodes"`
	Commit          *Commit `json:"commit,omitempty"`
	Reversible      bool    `json:"reversible"`
	Waits           []Wait  `json:"waits,omitempty"` // what does not get through at the moment

	ForeignWrites []ForeignWrite `json:"foreignWrites,omitempty"`
	OplogLeft     *int64         `json:"oplogLeftSeconds,omitempty"` // from the oldest entry of the source's oplog to the resume point
}

// ForeignWrite is a write of somebody else to the destination.
type ForeignWrite struct {
	NS string    `json:"namespace"`
	ID string    `json:"id"`
	Op string    `json:"op"`
	At time.Time `json:"at"`
}

// Node is one node of the cluster.
type Node struct {
	ID     string `json:"id"`
	Addr   string `json:"address"` // of its port for other nodes
	Voter  bool   `json:"voter"`
	Leader bool   `json:"leader"`
	Alive  *bool  `json:"alive"` // whether it answers the leader; null where that is not known
}

// Wait is something that is tried again and again.
type Wait struct {
	What    string `json:"what"`
	Why     string `json:"why"`
	Seconds int64  `json:"seconds"`
}

// Shard is the part of one source shard.
type Shard struct {
	ID      string `json:"id"`
	Node    string `json:"node"` // which one works on it
	Epoch   uint64 `json:"epoch"`
	Applied Time   `json:"applied"`
	Seen    Time   `json:"seen"`
	Lag     *int64 `json:"lagSeconds"`
	Events  int64  `json:"events"`
	Held    int64  `json:"bytesHeld"` // documents in memory
}

// Time is a cluster time.
type Time struct {
	T uint32 `json:"t"`
	I uint32 `json:"i"`
}

// Commit describes the commit in progress, or the last one.
type Commit struct {
	Step        string `json:"step"`
	Failure     string `json:"failure,omitempty"` // why it was given up
	BlockedMS   int64  `json:"writesBlockedMillis"`
	Documents   int64  `json:"documentsVerified"`
	Differences int64  `json:"differences"`
	InProgress  bool   `json:"inProgress"`
}
