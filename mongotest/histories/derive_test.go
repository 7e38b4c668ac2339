package histories_test

import (
	"bytes"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// derive tells what a stream shows of all the events of the cluster, or of the
// shard, as a stream of the cluster with showExpandedEvents has them.
func (s scope) derive(all []bson.Raw) []bson.Raw {
	var out []bson.Raw
	for _, e := range all {
		kind := str(e, "operationType")
		if !s.sees(kind, e) || !s.expanded && !classic(kind) {
			continue
		}
		if s.expanded {
			out = append(out, e)
		} else {
			out = append(out, plain(e))
		}
		if s.invalidatedBy(kind) {
			wall := e.Lookup("wallTime").Time()
			ts := clusterTime(e)
			out = append(out, raw(bson.D{{"_id", parseToken(id(e)).invalidated().doc()}, {"operationType", "invalidate"}, {"clusterTime", ts}, {"wallTime", wall}}))
		}
	}
	return out
}

func (s scope) sees(kind string, e bson.Raw) bool {
	switch {
	case s.db == "":
		return true
	case s.coll == "":
		return str(e, "ns", "db") == s.db || str(e, "to", "db") == s.db
	case kind == "dropDatabase":
		return false
	}
	ns := s.db + "." + s.coll
	return namespace(e, "ns") == ns || namespace(e, "to") == ns
}

func (s scope) invalidatedBy(kind string) bool {
	if s.coll != "" {
		return kind == "drop" || kind == "rename"
	}
	return s.db != "" && kind == "dropDatabase"
}

func classic(kind string) bool {
	return slices.Contains([]string{"insert", "update", "replace", "delete", "drop", "rename", "dropDatabase"}, kind)
}

// plain takes from an event what only showExpandedEvents brings.
func plain(e bson.Raw) bson.Raw {
	var d bson.D
	elements, err := e.Elements()
	if err != nil {
		panic(err)
	}
	for _, x := range elements {
		switch x.Key() {
		case "collectionUUID", "operationDescription":
		case "updateDescription":
			var u bson.D
			if err := bson.Unmarshal(x.Value().Document(), &u); err != nil {
				panic(err)
			}
			d = append(d, bson.E{Key: x.Key(), Value: unset(u, "disambiguatedPaths")})
		default:
			d = append(d, bson.E{Key: x.Key(), Value: x.Value()})
		}
	}
	return raw(d)
}

// merged puts the events of all shards into the order of their tokens.
func merged(shards [][]bson.Raw) []bson.Raw {
	var all []bson.Raw
	for _, events := range shards {
		all = append(all, events...)
	}
	return ordered(all)
}

// ordered sorts events by their tokens. Those that two shards have alike, with
// one token, come in an order that does not depend on which comes first.
func ordered(events []bson.Raw) []bson.Raw {
	events = slices.Clone(events)
	slices.SortFunc(events, func(a, b bson.Raw) int {
		if c := compare(id(a), id(b)); c != 0 {
			return c
		}
		return bytes.Compare(a, b)
	})
	return events
}

// differ returns the first difference of two lists of events.
func differ(want, got []bson.Raw) error {
	if !slices.IsSortedFunc(got, func(a, b bson.Raw) int { return compare(id(a), id(b)) }) {
		return fmt.Errorf("the tokens are not in order")
	}
	want, got = ordered(want), ordered(got)
	for i := range max(len(want), len(got)) {
		switch {
		case i == len(got):
			return fmt.Errorf("%d events are missing, the first is %s", len(want)-i, want[i])
		case i == len(want):
			return fmt.Errorf("%d events too many, the first is %s", len(got)-i, got[i])
		case !bytes.Equal(want[i], got[i]):
			return fmt.Errorf("event %d: want %s, got %s", i, want[i], got[i])
		}
	}
	return nil
}
