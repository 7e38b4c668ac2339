package rehearse

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Checked is the outcome of a check.
type Checked struct {
	Documents   int64
	Bytes       int64
	Differences []string
}

// Check reads both clusters whole and compares them document by document. It
// shares nothing with package verify, so that a mistake there cannot hide one
// here; it keeps a hash of every document in memory, so it is for rehearsals.
func Check(ctx context.Context, a, b *mongo.Client) (Checked, error) {
	var out Checked
	left, err := fingerprint(ctx, a, &out)
	if err != nil {
		return out, err
	}
	var ignored Checked
	right, err := fingerprint(ctx, b, &ignored)
	if err != nil {
		return out, err
	}
	out.compare(left, right, "only on the source")
	out.compare(right, left, "only on the destination")
	slices.Sort(out.Differences)
	return out, nil
}

// prints are the hashes of the documents of each namespace, by _id. Documents
// on different shards may share an _id.
type prints map[string]map[string][][sha256.Size]byte

func fingerprint(ctx context.Context, c *mongo.Client, count *Checked) (prints, error) {
	all := prints{}
	dbs, err := c.ListDatabaseNames(ctx, bson.D{{"name", bson.D{{"$nin", bson.A{"admin", "config", "local"}}}}})
	if err != nil {
		return nil, fmt.Errorf("check: list databases: %w", err)
	}
	for _, db := range dbs {
		specs, err := c.Database(db).ListCollectionSpecifications(ctx, bson.D{})
		if err != nil {
			return nil, fmt.Errorf("check: list the collections of %s: %w", db, err)
		}
		for _, spec := range specs {
			name := db + "." + spec.Name
			if spec.Name == "system.views" {
				continue
			}
			all[name] = map[string][][sha256.Size]byte{}
			all[name]["options"] = [][sha256.Size]byte{sha256.Sum256([]byte(spec.Type + " " + traits(spec.Options)))}
			if spec.Type != "collection" {
				continue
			}
			if err := readAll(ctx, c.Database(db).Collection(spec.Name), all[name], count); err != nil {
				return nil, fmt.Errorf("check %s: %w", name, err)
			}
		}
	}
	return all, nil
}

func readAll(ctx context.Context, coll *mongo.Collection, into map[string][][sha256.Size]byte, count *Checked) error {
	ixs, err := coll.Indexes().List(ctx)
	if err != nil {
		return err
	}
	for ixs.Next(ctx) {
		name := ixs.Current.Lookup("name").StringValue()
		into["index "+name] = [][sha256.Size]byte{sha256.Sum256([]byte(traits(ixs.Current)))}
	}
	if err := ixs.Err(); err != nil {
		return err
	}
	cur, err := coll.Find(ctx, bson.D{}, options.Find().SetBatchSize(5000))
	if err != nil {
		return err
	}
	for cur.Next(ctx) {
		id := cur.Current.Lookup("_id").String()
		into[id] = append(into[id], sha256.Sum256(cur.Current))
		count.Documents++
		count.Bytes += int64(len(cur.Current))
	}
	return cur.Err()
}

// traits returns what describes a collection or an index as text that is the
// same for the same meaning: in one order, and whatever the type of a number.
func traits(doc bson.Raw) string {
	var d bson.D
	if err := bson.Unmarshal(doc, &d); err != nil {
		return err.Error() // equal only to what cannot be read in the same way
	}
	var lines []string
	for _, e := range d {
		switch v := e.Value.(type) {
		case int32:
			e.Value = float64(v)
		case int64:
			e.Value = float64(v)
		}
		lines = append(lines, fmt.Sprintf("%s: %v", e.Key, e.Value))
	}
	slices.Sort(lines)
	return strings.Join(lines, ", ")
}

const differencesKept = 20

func (out *Checked) compare(here, there prints, what string) {
	for ns, docs := range here {
		for id, sums := range docs {
			other := slices.Clone(there[ns][id])
			for _, sum := range sums {
				at := slices.Index(other, sum)
				if at >= 0 {
					other = slices.Delete(other, at, at+1)
					continue
				}
				if len(out.Differences) < differencesKept {
					out.Differences = append(out.Differences, fmt.Sprintf("%s %s: %s", ns, id, what))
				}
			}
		}
	}
	slices.SortFunc(out.Differences, cmp.Compare)
}
