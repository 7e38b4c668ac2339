package aggregate

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/timeseries"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// Split divides a pipeline for a router: the stages each shard may run on its
// own documents, and those that must see the documents of all. A $limit runs
// on both sides, behind a $sort if there is one, so that shards need not send
// more than can be used; the merging part sorts again.
func Split(stages []bson.Raw) (shard, merge []bson.Raw) {
	for i, s := range stages {
		name, _, _ := rawdoc.First(s)
		switch name {
		case "$match", "$project", "$addFields", "$set", "$unset", "$replaceRoot", "$replaceWith", "$unwind", timeseries.UnpackStage:
			continue
		case "$sort", "$skip", "$limit":
			return append(stages[:i:i], trimmed(stages[i:])...), stages[i:]
		case "$sample":
			return stages[: i+1 : i+1], stages[i:]
		}
		return stages[:i:i], stages[i:]
	}
	return stages, nil
}

// trimmed returns what a shard runs of [$sort] [$skip] $limit: the sort and a
// limit that also covers what will be skipped.
func trimmed(rest []bson.Raw) []bson.Raw {
	var out []bson.Raw
	skipped := int64(0)
	for _, s := range rest {
		name, spec, _ := rawdoc.First(s)
		n, _ := number.Int(spec)
		switch {
		case name == "$sort" && out == nil && skipped == 0:
			out = append(out, s)
		case name == "$skip" && n >= 0:
			skipped += n
		case name == "$limit" && n > 0:
			return append(out, value.D("$limit", n+skipped))
		default:
			return nil
		}
	}
	return nil
}
