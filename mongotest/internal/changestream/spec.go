package changestream

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A Scope is what a stream watches.
type Scope int

// The scopes.
const (
	ScopeCollection Scope = iota
	ScopeDatabase
	ScopeCluster
)

// The values of fullDocument and fullDocumentBeforeChange.
const (
	ImageDefault       = "default"
	ImageOff           = "off"
	ImageUpdateLookup  = "updateLookup"
	ImageWhenAvailable = "whenAvailable"
	ImageRequired      = "required"
)

// A Spec is a validated $changeStream stage and the namespace it is opened on.
type Spec struct {
	Scope    Scope
	DB, Coll string // empty where the scope leaves them out

	// Start is where the stream starts: HighWater of startAtOperationTime, or
	// the token of resumeAfter or startAfter. Nil is now: a Stream starts after
	// the last entry of its log; a mongos sets it to its cluster time plus one
	// increment before it opens the shards' streams.
	Start      *Token
	StartAfter bool // Start was given as startAfter

	FullDocument             string
	FullDocumentBeforeChange string

	ShowExpandedEvents       bool
	ShowSystemEvents         bool
	ShowMigrationEvents      bool // refused by a mongos with 31123
	ShowRawUpdateDescription bool
	AllowConfigDB            bool // allowToRunOnConfigDB

	// Collation is how the stages behind compare strings, nil if by their bytes.
	// A collection's own means nothing to a stream.
	Collation *collation.Collation

	// NeedsMerge marks the part of a stream that a shard runs for a Merge.
	NeedsMerge bool
}

// ParseSpec validates the stage {$changeStream: {...}} for an aggregate on
// db.coll; coll is empty for aggregate: 1. Errors carry the server's codes.
func ParseSpec(stage bson.Raw, db, coll string) (Spec, error) {
	opts, ok := stage.Lookup("$changeStream").DocumentOK()
	if !ok {
		return Spec{}, mongoerr.New(6188500, "$changeStream must take a nested object but found: %s", value.TypeName(stage.Lookup("$changeStream").Type))
	}
	p := specParser{spec: Spec{
		DB: db, Coll: coll,
		FullDocument: ImageDefault, FullDocumentBeforeChange: ImageOff,
	}}
	for name, v := range value.Elements(opts) {
		if v.Type == bson.TypeNull && nullIsMissing(name) {
			continue
		}
		if err := p.option(name, v); err != nil {
			return Spec{}, err
		}
	}
	if err := p.namespace(); err != nil {
		return Spec{}, err
	}
	if err := p.start(); err != nil {
		return Spec{}, err
	}
	return p.spec, nil
}

// nullIsMissing reports whether an option may be null, which says nothing.
func nullIsMissing(name string) bool {
	switch name {
	case "resumeAfter", "startAfter", "startAtOperationTime", "fullDocument", "fullDocumentBeforeChange":
		return true
	default:
		return false
	}
}

// specParser gathers the options that are only meaningful together.
type specParser struct {
	spec                    Spec
	resumeAfter, startAfter *Token
	startAt                 *bson.Timestamp
	allChanges              bool
	allowSystem             bool
}

func (p *specParser) option(name string, v bson.RawValue) (err error) {
	switch name {
	case "resumeAfter":
		p.resumeAfter, err = tokenOption(name, v)
	case "startAfter":
		p.startAfter, err = tokenOption(name, v)
	case "startAtOperationTime":
		t, i, ok := v.TimestampOK()
		if !ok {
			return wrongType(name, v, "timestamp")
		}
		p.startAt = &bson.Timestamp{T: t, I: i}
	case "fullDocument":
		p.spec.FullDocument, err = imageOption(name, v, ImageDefault, ImageUpdateLookup, ImageWhenAvailable, ImageRequired)
	case "fullDocumentBeforeChange":
		p.spec.FullDocumentBeforeChange, err = imageOption(name, v, ImageOff, ImageWhenAvailable, ImageRequired)
	default:
		return p.flag(name, v)
	}
	return err
}

// flag reads the boolean options.
func (p *specParser) flag(name string, v bson.RawValue) error {
	flags := map[string]*bool{
		"allChangesForCluster":     &p.allChanges,
		"showExpandedEvents":       &p.spec.ShowExpandedEvents,
		"showSystemEvents":         &p.spec.ShowSystemEvents,
		"showMigrationEvents":      &p.spec.ShowMigrationEvents,
		"showRawUpdateDescription": &p.spec.ShowRawUpdateDescription,
		"allowToRunOnConfigDB":     &p.spec.AllowConfigDB,
		"allowToRunOnSystemNS":     &p.allowSystem,
	}
	dst, known := flags[name]
	if !known {
		return mongoerr.New(mongoerr.IDLUnknownField, "BSON field '$changeStream.%s' is an unknown field.", name)
	}
	b, ok := v.BooleanOK()
	if !ok {
		return wrongType(name, v, "bool")
	}
	*dst = b
	return nil
}

func tokenOption(name string, v bson.RawValue) (*Token, error) {
	doc, ok := v.DocumentOK()
	if !ok {
		return nil, wrongType(name, v, "object")
	}
	t, err := ParseToken(doc)
	if err != nil {
		return nil, err
	}
	return &t, nil
}

func imageOption(name string, v bson.RawValue, allowed ...string) (string, error) {
	s, ok := v.StringValueOK()
	if !ok {
		return "", wrongType(name, v, "string")
	}
	for _, a := range allowed {
		if s == a {
			return s, nil
		}
	}
	return "", mongoerr.New(mongoerr.BadValue, "Enumeration value '%s' for field '$changeStream.%s' is not a valid value.", s, name)
}

func wrongType(name string, v bson.RawValue, want string) error {
	return mongoerr.New(mongoerr.TypeMismatch,
		"BSON field '$changeStream.%s' is the wrong type '%s', expected type '%s'", name, v.Type, want)
}

// namespace derives the scope and refuses the namespaces no stream may watch.
func (p *specParser) namespace() error {
	s := &p.spec
	if p.allChanges {
		if s.DB != "admin" || s.Coll != "" {
			return mongoerr.New(mongoerr.InvalidOptions,
				"A $changeStream with 'allChangesForCluster:true' may only be opened on the 'admin' database, and with no collection name; found %s", nsString(s.DB, s.Coll))
		}
		s.Scope, s.DB = ScopeCluster, ""
		return nil
	}
	if s.DB == "admin" || s.DB == "local" || s.DB == "config" && !s.AllowConfigDB {
		return mongoerr.New(mongoerr.InvalidNamespace, "$changeStream may not be opened on the internal %s database", s.DB)
	}
	if strings.HasPrefix(s.Coll, "system.") && !p.allowSystem {
		return mongoerr.New(mongoerr.InvalidNamespace, "$changeStream may not be opened on the internal %s collection", nsString(s.DB, s.Coll))
	}
	s.Scope = ScopeCollection
	if s.Coll == "" {
		s.Scope = ScopeDatabase
	}
	return nil
}

func nsString(db, coll string) string {
	if coll == "" {
		return db + ".$cmd.aggregate"
	}
	return db + "." + coll
}

// start derives Start from the three options that may give it.
func (p *specParser) start() error {
	if p.resumeAfter != nil && p.startAfter != nil {
		return mongoerr.New(50865, "Do not specify both 'resumeAfter' and 'startAfter' in a $changeStream stage.")
	}
	token := p.resumeAfter
	if p.startAfter != nil {
		token, p.spec.StartAfter = p.startAfter, true
	}
	if p.startAt != nil {
		if token != nil {
			return mongoerr.New(40674, "Only one type of resume option is allowed, but multiple were found.")
		}
		hwm := HighWater(*p.startAt, 0)
		token = &hwm
	}
	p.spec.Start = token
	if token == nil || token.Type != EventToken {
		return nil
	}
	if token.FromInvalidate && !p.spec.StartAfter {
		return mongoerr.New(mongoerr.InvalidResumeToken,
			"Attempting to resume a change stream using 'resumeAfter' is not allowed from an invalidate notification.")
	}
	if p.spec.Scope == ScopeCollection && token.UUID.IsZero() {
		return mongoerr.New(mongoerr.InvalidResumeToken,
			"Attempted to resume a single-collection stream, but the resume token does not include a UUID")
	}
	return nil
}

// StartingAt returns the spec with its start at ts, unless it has one already.
// A mongos calls it with its cluster time plus one increment, so that all
// shards start at the same time.
func (s Spec) StartingAt(ts bson.Timestamp) Spec {
	if s.Start == nil {
		hwm := HighWater(ts, 0)
		s.Start = &hwm
	}
	return s
}
