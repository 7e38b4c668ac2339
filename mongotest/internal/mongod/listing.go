package mongod

import (
	"context"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// runListDatabases lists the databases with their sizes. The server's own
// databases always exist.
func runListDatabases(_ context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	nameOnly, filter := a.bool("nameOnly", false), a.doc("filter")
	if a.err != nil {
		return nil, a.err
	}
	matcher, err := op.listFilter(filter)
	if err != nil {
		return nil, err
	}
	var docs []bson.Raw
	var total int64
	err = op.view(func(tx *storage.Tx) error {
		names := append(tx.Databases(), "admin", "config", "local")
		slices.Sort(names)
		for _, db := range slices.Compact(names) {
			if sees := op.req.Client.SeesDB; sees != nil && !sees(db) {
				continue
			}
			size, colls := databaseSize(tx, db)
			d := value.D("name", db)
			if !nameOnly {
				d = value.D("name", db, "sizeOnDisk", size, "empty", colls == 0 && !isInternalDB(db))
			}
			if ok, err := matcher.Match(d); err != nil || !ok {
				if err != nil {
					return err
				}
				continue
			}
			docs = append(docs, d)
			total += size
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if nameOnly {
		return value.D("databases", docs), nil
	}
	return value.D("databases", docs, "totalSize", total, "totalSizeMb", total>>20), nil
}

func (op *operation) listFilter(filter bson.Raw) (*query.Matcher, error) {
	lang, err := op.language(nil, nil)
	if err != nil {
		return nil, err
	}
	return lang.listFilter(filter)
}

// databaseSize returns the bytes of data and indexes, and the number of
// collections. Even an empty database takes some room on a disk.
func databaseSize(tx *storage.Tx, db string) (size int64, colls int) {
	const page = 4096
	size = page
	for _, c := range tx.Collections(db) {
		colls++
		size += page
		if c.IsView() {
			continue
		}
		size += c.Size()
		for _, ix := range c.Indexes() {
			size += ix.Size()
		}
	}
	return size, colls
}

// runListCollections lists collections and views.
func runListCollections(ctx context.Context, op *operation) (bson.Raw, error) {
	a := op.args()
	nameOnly, filter := a.bool("nameOnly", false), a.doc("filter")
	onlyOwn := a.bool("authorizedCollections", false)
	if a.err != nil {
		return nil, a.err
	}
	matcher, err := op.listFilter(filter)
	if err != nil {
		return nil, err
	}
	var docs []bson.Raw
	err = op.view(func(tx *storage.Tx) error {
		entries := listEntries(tx, op.req.DB)
		for _, e := range entries {
			if !op.listsCollection(e, onlyOwn) {
				continue
			}
			if nameOnly {
				e = value.D("name", e.Lookup("name"), "type", e.Lookup("type"))
			}
			if ok, err := matcher.Match(e); err != nil || !ok {
				if err != nil {
					return err
				}
				continue
			}
			docs = append(docs, e)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return op.listReply(ctx, op.req.DB+".$cmd.listCollections", docs)
}

// listsCollection reports whether the client may see an entry, asked for what
// it may read only.
func (op *operation) listsCollection(entry bson.Raw, onlyOwn bool) bool {
	sees := op.req.Client.SeesCollection
	return !onlyOwn || sees == nil || sees(op.req.DB, entry.Lookup("name").StringValue())
}

// listEntries returns the entries of listCollections, by name.
func listEntries(tx *storage.Tx, db string) []bson.Raw {
	var out []bson.Raw
	for _, c := range tx.Collections(db) {
		out = append(out, listEntry(c))
	}
	if db == "local" {
		out = append(out, value.D("name", "oplog.rs", "type", "collection",
			"options", value.D("capped", true, "size", oplogSize, "autoIndexId", false), "info", value.D("readOnly", false)))
	}
	slices.SortFunc(out, func(a, b bson.Raw) int {
		return strings.Compare(a.Lookup("name").StringValue(), b.Lookup("name").StringValue())
	})
	return out
}

func listEntry(c *storage.Collection) bson.Raw {
	if c.IsTimeseries() {
		return value.D("name", c.Name(), "type", "timeseries", "options", c.Options, "info", value.D("readOnly", false))
	}
	if c.IsView() {
		return value.D("name", c.Name(), "type", "view", "options", c.Options, "info", value.D("readOnly", true))
	}
	pairs := []any{
		"name", c.Name(), "type", "collection", "options", c.Options,
		"info", value.D("readOnly", false, "uuid", c.UUID.Binary()),
	}
	if ix := c.IDIndex(); ix != nil && !c.Clustered() {
		pairs = append(pairs, "idIndex", ix.Spec)
	}
	return value.D(pairs...)
}
