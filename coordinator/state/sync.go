package state

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

// Sync is the whole replicated state of one sync.
type Sync struct {
	State  shardferry.State `bson:"state"`
	Job    Job              `bson:"job"`
	Leg    Leg              `bson:"leg"`
	Last   *Cutover         `bson:"last,omitempty"`  // the commit that ended, or was given up, last
	Hold   string           `bson:"hold,omitempty"`  // why it paused by itself, for the operator
	Audit  []AuditEntry     `bson:"audit,omitempty"` // commands, oldest first
	Totals Totals           `bson:"totals"`          // of the legs that have ended

	Accounts Accounts `bson:"accounts"`

	Intrusions []Intrusion `bson:"intrusions,omitempty"` // the last ones, oldest first

	Draining []string `bson:"draining,omitempty"` // nodes that are about to stop, sorted

	Recopying bool `bson:"recopying,omitempty"` // the operator agreed that shards whose changes are lost are copied again

	Asked   bool     `bson:"asked,omitempty"`   // a command has come with who asked for it
	Answers []Answer `bson:"answers,omitempty"` // to commands that had a key, oldest first

	RollingBack bool `bson:"rollingBack,omitempty"` // commit the reverse leg by itself as soon as it can be
}

// Job is what the operator asked for. It never changes while a sync exists.
// The URIs themselves are not in it, because they may hold passwords.
type Job struct {
	Source       Endpoint  `bson:"source"`
	Destination  Endpoint  `bson:"destination"`
	Reversible   bool      `bson:"reversible"`             // the way back can be kept open
	BlockDest    bool      `bson:"blockDest"`              // the destination is write-blocked until commit
	KeepBalancer bool      `bson:"keepBalancer,omitempty"` // of the source
	WithUsers    bool      `bson:"withUsers,omitempty"`    // users and roles come too
	StartedAt    time.Time `bson:"startedAt"`
	CommitBudget int64     `bson:"commitBudgetMs"` // how long writes may be blocked before a commit is given up

	Selection shardferry.Selection `bson:"selection,omitempty"` // valid
}

// Endpoint identifies a cluster without its credentials.
type Endpoint struct {
	Name  string `bson:"name"`  // cluster0 or cluster1, as in mongosync's API
	Hosts string `bson:"hosts"` // as given in its URI
	ID    string `bson:"id"`    // the cluster's own identity; two runs of one job must agree on it
}

// Totals are sums over ended legs.
type Totals struct {
	Events  int64 `bson:"events"`
	Repairs int64 `bson:"repairs"`
	Held    int64 `bson:"held,omitempty"` // of a worker: bytes of documents in its memory, now
}

// Direction says which way a leg flows.
type Direction string

// The directions of a leg.
const (
	Forward Direction = "forward" // from the job's source to its destination
	Reverse Direction = "reverse" // back
)

// Opposite returns the other direction.
func (d Direction) Opposite() Direction {
	if d == Forward {
		return Reverse
	}
	return Forward
}

// Phase is how far a leg has come, inside the states that users see.
type Phase string

// The phases of a leg, in order. A leg that follows a commit begins with
// PhaseStreaming, because both clusters are equal by then.
const (
	PhasePlanning  Phase = "planning"  // the source is being read, nothing is written
	PhaseCreating  Phase = "creating"  // databases and collections are made on the destination
	PhaseCopying   Phase = "copying"   // documents are copied, changes streamed beside
	PhaseBuilding  Phase = "building"  // indexes are built, changes streamed beside
	PhaseStreaming Phase = "streaming" // only changes are left
)

// Leg is one direction of flow, from its start to the commit that ends it.
type Leg struct {
	Number      int                     `bson:"number"` // 1, 2, ...
	Direction   Direction               `bson:"direction"`
	Phase       Phase                   `bson:"phase"`
	Plan        bson.Raw                `bson:"plan,omitempty"` // what to create; topology's own form; gone once created
	Start       shardferry.ClusterTime  `bson:"start"`          // streams begin after it
	Bytes       int64                   `bson:"bytes"`          // estimated size of all documents to copy
	Shards      []Shard                 `bson:"shards"`         // sorted by ID
	Collections []shardferry.Collection `bson:"collections"`    // sorted by UUID
	Tasks       Tasks                   `bson:"tasks"`
	Indexes     []Index                 `bson:"indexes"`   // in the order they were met
	Catalogue   int64                   `bson:"catalogue"` // raised with each change of Collections
	Limits      []Limit                 `bson:"limits"`    // of capped and clustered collections
	Order       `bson:",inline"`
	Cutover     *Cutover `bson:"cutover,omitempty"`
}

// Shard is what the coordinator knows about one source shard of a leg.
type Shard struct {
	ID       shardferry.ShardID       `bson:"_id"`
	Epoch    uint64                   `bson:"epoch"` // raised each time a worker starts on it
	Owner    string                   `bson:"owner"`
	Applied  shardferry.ClusterTime   `bson:"applied"`
	Seen     shardferry.ClusterTime   `bson:"seen"`
	Schema   *shardferry.SchemaChange `bson:"schema,omitempty"` // its stream stands at it
	Resolved shardferry.SchemaPoint   `bson:"resolved"`
	Ready    int64                    `bson:"ready"`              // ID of the barrier at which its worker stands
	Sessions []bson.Raw               `bson:"sessions,omitempty"` // of this epoch and of those not ended yet
	Events   int64                    `bson:"events"`             // of earlier epochs
	Repairs  int64                    `bson:"repairs"`
	Now      Totals                   `bson:"now"`               // of this epoch
	Waiting  *shardferry.Wait         `bson:"waiting,omitempty"` // what its worker cannot get through
	Lost     bool                     `bson:"lost,omitempty"`    // changes after Applied are gone from its oplog: it has no worker until it is copied again
}

// Index is an index of the destination that must exist, or take its final form,
// by the commit.
type Index struct {
	NS       shardferry.Namespace `bson:"ns"`    // on the destination
	Spec     bson.Raw             `bson:"spec"`  // in its final form, as listIndexes of the source shows it
	Built    bool                 `bson:"built"` // exists, perhaps in relaxed form
	Finished bool                 `bson:"finished"`
}

// Limit is the size to which a capped collection of the destination returns at
// the commit, or the age at which documents of a clustered one expire from then on.
type Limit struct {
	NS       shardferry.Namespace `bson:"ns"`
	Size     int64                `bson:"size"` // bytes
	Max      int64                `bson:"max"`  // documents, 0: no limit
	Expires  bool                 `bson:"expires,omitempty"`
	After    int64                `bson:"after,omitempty"` // seconds, if it expires
	Finished bool                 `bson:"finished"`
}

// New returns the state of a sync that has not started.
func New() *Sync { return &Sync{State: shardferry.StateIdle} }

// A Command changes the state when it is applied. Apply either makes the whole
// change or returns an error and makes none; only Asked keeps that it was refused.
type Command interface {
	Apply(s *Sync) error
}
