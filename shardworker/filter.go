package shardworker

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/shardferry/shardferry"
)

// Of a collection with a filter the destination has the documents that match it.
// The source's server says which do: whatever reads the collection reads through
// the filter, so that a document that does not match is not there, and the stream
// leaves inserts out that do not match. Other events may be about any document. A
// delete is one either way. An update says nothing of the fields that it does not
// change: as long as none of the filter's is among those that it changes, the
// document matches as before, and where the destination has none a repair sees why.
// What may change that is repaired. internal/model explores these rules.
type filters map[shardferry.Namespace]bson.Raw

// filteredReadTimeout limits one read of the copy through a filter: until as many
// documents are found as a batch has, a server may read all of the task.
const filteredReadTimeout = 15 * time.Minute

// of returns the filter of a collection, nil if it has none.
func (f filters) of(coll *shardferry.Collection) bson.Raw { return f[coll.Source] }

func (f filters) readTimeout(coll *shardferry.Collection) time.Duration {
	if f.of(coll) != nil {
		return filteredReadTimeout
	}
	return readTimeout
}

// pipeline returns the stages by which a change stream leaves out inserts that do
// not match.
func (f filters) pipeline() (mongo.Pipeline, error) {
	if len(f) == 0 {
		return mongo.Pipeline{}, nil
	}
	var out bson.A
	for ns, filter := range f {
		matches, err := shardferry.FilterBelow("fullDocument", filter)
		if err != nil {
			return nil, err
		}
		out = append(out, bson.D{
			{Key: "operationType", Value: "insert"},
			{Key: "ns.db", Value: ns.DB},
			{Key: "ns.coll", Value: ns.Coll},
			{Key: "$nor", Value: bson.A{matches}},
		})
	}
	return mongo.Pipeline{{{Key: "$match", Value: bson.D{{Key: "$nor", Value: out}}}}}, nil
}

// both returns the query that asks what two queries ask; of the second there may be
// none.
func both(query, filter bson.Raw) bson.Raw {
	if filter == nil {
		return query
	}
	return build(func(dst []byte) []byte {
		i, dst := bsoncore.AppendArrayElementStart(dst, "$and")
		dst = bsoncore.AppendDocumentElement(dst, "0", query)
		dst = bsoncore.AppendDocumentElement(dst, "1", filter)
		return closeDocument(dst, i)
	})
}

// mayBeCrossed reports whether after the event of j the document may match its
// collection's filter, and before it not, or the other way round. An insert does
// match.
func (f filters) mayBeCrossed(j *job) bool {
	filter := f.of(j.coll)
	switch {
	case filter == nil:
		return false
	case j.ev.op == "replace":
		return true
	case j.ev.kind == kindUpdate:
		asked, err := shardferry.FilterPaths(filter)
		if err != nil {
			return true
		}
		for _, changed := range parseUpdate(j.ev.body).paths() {
			for _, path := range asked {
				if shardferry.FilterTouched(changed, path) {
					return true
				}
			}
		}
	}
	return false
}
