package command

import (
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A Target is which member of a shard a router's command is for.
type Target struct {
	Member string          // the address of the one that has the cursor; empty for any
	Prefer *ReadPreference // nil for the primary
}

// A ReadPreference is a $readPreference. Hedging is of no use here.
type ReadPreference struct {
	Mode         string
	Tags         []bson.Raw    // tag sets in order; empty for any member
	MaxStaleness time.Duration // 0 for any
	Doc          bson.Raw      // as given
}

// The modes of read preferences.
const (
	Primary            = "primary"
	PrimaryPreferred   = "primaryPreferred"
	Secondary          = "secondary"
	SecondaryPreferred = "secondaryPreferred"
	Nearest            = "nearest"
)

const (
	minStaleness    = 90
	hedgeMode       = "hedge"
	tagsField       = "tags"
	stalenessField  = "maxStalenessSeconds"
	preferenceField = "$readPreference"
)

// ParseReadPreference returns the command's $readPreference, nil if it has none
// or wants the primary. Errors are those of the server's
// src/mongo/client/read_preference.cpp.
func ParseReadPreference(body bson.Raw) (*ReadPreference, error) {
	v, ok := value.Get(body, preferenceField)
	if !ok {
		return nil, nil //nolint:nilnil // the primary is an answer here
	}
	d, ok := v.DocumentOK()
	if !ok {
		return nil, mongoerr.New(mongoerr.TypeMismatch, "$readPreference has incorrect type: expected object but got %s", value.TypeName(v.Type))
	}
	p := &ReadPreference{Doc: d}
	mode, ok := value.Get(d, "mode")
	if !ok {
		return nil, mongoerr.New(mongoerr.NoSuchKey, "Missing expected field \"mode\"")
	}
	if p.Mode, ok = mode.StringValueOK(); !ok {
		return nil, mongoerr.New(mongoerr.TypeMismatch, "\"mode\" had the wrong type. Expected string, found %s", value.TypeName(mode.Type))
	}
	switch p.Mode {
	case Primary, PrimaryPreferred, Secondary, SecondaryPreferred, Nearest:
	default:
		return nil, mongoerr.New(mongoerr.BadValue, "Could not parse $readPreference mode '%s'. Only the modes 'primary', 'primaryPreferred', "+
			"'secondary', 'secondaryPreferred', and 'nearest' are supported. :: caused by :: Enumeration value '%s' for field 'mode' is not a valid value.", p.Mode, p.Mode)
	}
	for _, parse := range []func(bson.Raw) error{p.parseHedge, p.parseTags, p.parseStaleness} {
		if err := parse(d); err != nil {
			return nil, err
		}
	}
	if p.Mode == Primary {
		return nil, nil //nolint:nilnil // as above
	}
	return p, nil
}

func (p *ReadPreference) parseHedge(d bson.Raw) error {
	v, ok := value.Get(d, hedgeMode)
	if !ok {
		return nil
	}
	h, ok := v.DocumentOK()
	if !ok {
		return mongoerr.New(mongoerr.TypeMismatch, "hedge field must be of type object if provided; found %s", value.TypeName(v.Type))
	}
	if on, given := value.Get(h, "enabled"); p.Mode == Primary && (!given || value.Truthy(on)) {
		return mongoerr.New(mongoerr.InvalidOptions, "cannot enable hedging for $readPreference mode \"primaryOnly\"")
	}
	return nil
}

func (p *ReadPreference) parseTags(d bson.Raw) error {
	v, ok := value.Get(d, tagsField)
	if !ok {
		return nil
	}
	arr, ok := v.ArrayOK()
	if !ok {
		return mongoerr.New(mongoerr.TypeMismatch, "\"tags\" had the wrong type. Expected array, found %s", value.TypeName(v.Type))
	}
	for _, e := range value.Elements(bson.Raw(arr)) {
		set, ok := e.DocumentOK()
		if !ok {
			return mongoerr.New(mongoerr.TypeMismatch, "Tags should be objects, found %s", value.TypeName(e.Type))
		}
		p.Tags = append(p.Tags, set)
	}
	if len(p.Tags) == 1 && value.IsEmpty(p.Tags[0]) {
		p.Tags = nil // the set that every member fits
	}
	if p.Mode == Primary && len(p.Tags) > 0 {
		return mongoerr.New(mongoerr.BadValue, "Only empty tags are allowed with primary read preference")
	}
	return nil
}

func (p *ReadPreference) parseStaleness(d bson.Raw) error {
	v, ok := value.Get(d, stalenessField)
	if !ok {
		return nil
	}
	secs, ok := value.AsInt64(v)
	switch {
	case !ok:
		return mongoerr.New(mongoerr.TypeMismatch, "Expected field \"maxStalenessSeconds\" to have numeric type, but found %s", value.TypeName(v.Type))
	case secs < 0:
		return mongoerr.New(mongoerr.BadValue, "maxStalenessSeconds must be a non-negative integer")
	case secs > 0 && secs < minStaleness:
		return mongoerr.New(mongoerr.MaxStalenessOutOfRange, "maxStalenessSeconds value can not be less than %d", minStaleness)
	case secs > 0 && p.Mode == Primary:
		return mongoerr.New(mongoerr.BadValue, "maxStalenessSeconds can not be set for the primary mode")
	}
	p.MaxStaleness = time.Duration(secs) * time.Second
	return nil
}

// Fits reports whether a member with these tags is meant, and by which of the
// tag sets: of several the earliest counts that some member fits.
func (p *ReadPreference) Fits(set int, tags bson.Raw) bool {
	if len(p.Tags) == 0 {
		return set == 0
	}
	if set >= len(p.Tags) {
		return false
	}
	for name, want := range value.Elements(p.Tags[set]) {
		if have, ok := value.Get(tags, name); !ok || !have.Equal(want) {
			return false
		}
	}
	return true
}

// Unsatisfied is the error of a router that finds no such member of a set.
func (p *ReadPreference) Unsatisfied(set string) error {
	text := fmt.Sprintf("{ mode: %q", p.Mode)
	if len(p.Tags) > 0 {
		sets := make([]string, len(p.Tags))
		for i, t := range p.Tags {
			sets[i] = rawdoc.RenderDoc(t)
		}
		text += ", tags: [ " + strings.Join(sets, ", ") + " ]"
	}
	if p.MaxStaleness > 0 {
		text += fmt.Sprintf(", maxStalenessSeconds: %d", p.MaxStaleness/time.Second)
	}
	return mongoerr.New(mongoerr.FailedToSatisfyReadPreference, "Could not find host matching read preference %s } for set %s", text, set)
}
