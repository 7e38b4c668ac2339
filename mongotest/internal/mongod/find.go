package mongod

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
)

// firstBatch is the number of documents in a first batch without batchSize.
const firstBatch = 101

// findCommand is a parsed find command.
type findCommand struct {
	coll       string
	wanted     wanted
	projection bson.Raw
	let        bson.Raw
	skip       int64
	limit      int64
	batchSize  int64 // negative: not given
	single     bool
	tailable   bool
	await      bool
	natural    naturalScan
	collation  collationArg
	showRecord bool
}

func parseFind(op *operation) (findCommand, error) {
	coll, err := op.findTarget()
	if err != nil {
		return findCommand{}, err
	}
	a := op.args()
	a.refuse("returnKey")
	f := findCommand{
		coll: coll,
		wanted: wanted{
			filter: a.doc("filter"), sort: a.doc("sort"), hint: a.lookup("hint"), min: nonEmpty(a.doc("min")), max: nonEmpty(a.doc("max")),
		},
		projection: a.doc("projection"),
		let:        a.doc("let"),
		skip:       a.count("skip", 0),
		limit:      a.count("limit", 0),
		batchSize:  -1,
		single:     a.bool("singleBatch", false),
		tailable:   a.bool("tailable", false),
		await:      a.bool("awaitData", false),
		showRecord: a.bool("showRecordId", false),
		natural:    a.naturalScan(),
		collation:  a.collation(),
	}
	if a.has("batchSize") {
		f.batchSize = a.count("batchSize", 0)
	}
	if f.await && !f.tailable {
		a.fail(mongoerr.FailedToParse, "Cannot set 'awaitData' without also setting 'tailable'")
	}
	if f.tailable && !isEmpty(f.wanted.sort) && (naturalSort(f.wanted.sort) != 1 || fieldCount(f.wanted.sort) != 1) {
		a.fail(mongoerr.BadValue, "cannot use tailable option with a sort other than {$natural: 1}")
	}
	if a.err == nil {
		a.err = f.natural.check(f.wanted)
	}
	return f, a.err
}

// findTarget returns the collection that find names, by name or by UUID.
func (op *operation) findTarget() (string, error) {
	return op.nameOrUUID(op.req.Body.Lookup(op.req.Name))
}

func nonEmpty(d bson.Raw) bson.Raw {
	if isEmpty(d) {
		return nil
	}
	return d
}

func runFind(ctx context.Context, op *operation) (bson.Raw, error) {
	f, err := parseFind(op)
	if err != nil {
		return nil, err
	}
	c, err := op.openFind(f)
	if err != nil {
		return nil, err
	}
	size := int64(firstBatch)
	if f.batchSize >= 0 {
		size = f.batchSize
	}
	return op.firstReply(ctx, c, size, f.single)
}

// openFind makes the cursor of a find command.
func (op *operation) openFind(f findCommand) (*cursor, error) {
	if f.single && f.tailable {
		return nil, mongoerr.New(mongoerr.BadValue, "Cannot use tailable option with the 'singleBatch' option")
	}
	coll, err := op.collationOn(f.coll, f.collation)
	if err != nil {
		return nil, err
	}
	lang, err := op.language(f.let, coll)
	if err != nil {
		return nil, err
	}
	if f.wanted.matcher, err = lang.filter(f.wanted.filter); err != nil {
		return nil, err
	}
	if err := op.restrict(f.coll, &f.wanted, f.projection); err != nil {
		return nil, err
	}
	feed := &docFeed{left: -1, script: lang.script}
	if f.limit > 0 {
		feed.left = f.limit
	}
	c := &cursor{ns: op.req.DB + "." + f.coll, number: noNumber, feed: feed, await: f.await}
	c.noTimeout = op.args().bool("noCursorTimeout", false)
	var view *storage.Collection
	err = op.view(func(tx *storage.Tx) error {
		if err := op.checkUUID(tx, f.coll); err != nil {
			return err
		}
		coll := tx.Collection(c.ns)
		if coll != nil && coll.IsView() {
			view = coll
			return nil
		}
		return op.planFind(tx, coll, f, lang, c)
	})
	if err != nil {
		return nil, err
	}
	if view != nil {
		return op.findOnView(f)
	}
	return c, nil
}

// planFind gives c the feed of a find on coll, which may be nil or virtual.
func (op *operation) planFind(tx *storage.Tx, coll *storage.Collection, f findCommand, lang *language, c *cursor) error {
	feed := c.feed.(*docFeed)
	if err := bindText(coll, &f.wanted); err != nil {
		return err
	}
	src, sorted, err := op.findSource(tx, coll, f, c, feed)
	if err != nil {
		return err
	}
	switch near := f.wanted.matcher.Near(); {
	case !sorted:
		s, err := f.wanted.matcher.CompileSort(f.wanted.sort)
		if err != nil {
			return err
		}
		src = sortedSource(src, s)
	case near != nil && isEmpty(f.wanted.sort):
		src = nearestFirst(src, near)
	}
	if f.skip > 0 {
		src = &skipSource{src: src, n: f.skip}
	}
	p, err := lang.projection(f.projection, f.wanted.matcher)
	if err != nil {
		return err
	}
	if p != nil {
		src = &projectSource{src: src, matcher: f.wanted.matcher, projection: p}
	}
	feed.src = src
	if f.tailable {
		return op.makeTailable(coll, c)
	}
	return nil
}

// findSource returns the matching documents, and whether they are in the
// wanted order.
func (op *operation) findSource(tx *storage.Tx, coll *storage.Collection, f findCommand, c *cursor, feed *docFeed) (aggregate.Source, bool, error) {
	if src, ok, err := op.virtualSource(tx, c.ns, f.wanted); ok || err != nil {
		return src, isEmpty(f.wanted.sort) || naturalSort(f.wanted.sort) != 0, err
	}
	if coll == nil {
		if f.natural.after != nil || f.wanted.min != nil || f.wanted.max != nil {
			return &sliceSource{}, true, f.natural.checkExists()
		}
		return &sliceSource{}, true, nil
	}
	p, err := makePlan(coll, f.wanted)
	if err != nil {
		return nil, false, err
	}
	op.notePlan(coll, f.wanted, f.projection, p)
	scan := newScanSource(op.cursorView(), coll, p, f.wanted.matcher, op.owned)
	scan.late, scan.undecided = hasScript(f.wanted.filter), op.preparedReads()
	feed.scans = append(feed.scans, scan)
	if err := f.natural.start(tx, coll, scan); err != nil {
		return nil, false, err
	}
	if f.natural.wanted {
		feed.token = scan.naturalToken
	}
	if f.showRecord {
		return &recordIDSource{scan: scan}, p.sorted, nil
	}
	return scan, p.sorted, nil
}

// cursorView is what a cursor of op reads for as long as it lives.
func (op *operation) cursorView() viewer {
	switch {
	case op.txn != nil:
		return op.txn.inner.View
	case op.snapshot != nil:
		return op.snapshotView()
	default:
		return op.node.view
	}
}

// sortedSource yields all of src's documents in order.
func sortedSource(src aggregate.Source, s *query.Sort) aggregate.Source {
	return &funcSource{make: func(ctx context.Context) ([]bson.Raw, error) {
		docs, err := drain(ctx, src)
		if err != nil {
			return nil, err
		}
		slices.SortStableFunc(docs, s.Compare)
		return docs, nil
	}}
}

// drain returns all documents of src.
func drain(ctx context.Context, src aggregate.Source) ([]bson.Raw, error) {
	var docs []bson.Raw
	for {
		d, err := src.Next(ctx)
		if err != nil || d == nil {
			return docs, err
		}
		docs = append(docs, d)
	}
}

// skipSource leaves out the first n documents.
type skipSource struct {
	src aggregate.Source
	n   int64
}

// Next implements aggregate.Source.
func (s *skipSource) Next(ctx context.Context) (bson.Raw, error) {
	for ; s.n > 0; s.n-- {
		if d, err := s.src.Next(ctx); err != nil || d == nil {
			return nil, err
		}
	}
	return s.src.Next(ctx)
}

// projectSource applies a projection.
type projectSource struct {
	src        aggregate.Source
	matcher    *query.Matcher
	projection *query.Projection
}

// Next implements aggregate.Source.
func (s *projectSource) Next(ctx context.Context) (bson.Raw, error) {
	d, err := s.src.Next(ctx)
	if err != nil || d == nil {
		return nil, err
	}
	idx := -1
	if s.projection.Positional() {
		_, idx = s.matcher.MatchArrayIndex(d)
	}
	return s.projection.Apply(d, idx)
}

// recordIDSource adds $recordId to each document, for showRecordId.
type recordIDSource struct{ scan *scanSource }

// Next implements aggregate.Source.
func (s *recordIDSource) Next(ctx context.Context) (bson.Raw, error) {
	d, err := s.scan.Next(ctx)
	if err != nil || d == nil {
		return nil, err
	}
	return appendFields(d, "$recordId", s.scan.lastID), nil
}
