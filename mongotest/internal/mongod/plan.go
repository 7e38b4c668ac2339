package mongod

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/collation"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/query"
	"github.com/shardferry/shardferry/mongotest/internal/storage"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// maxRanges bounds the index ranges of one plan; beyond it a scan is cheaper.
const maxRanges = 2000

// wanted is what a plan is made for.
type wanted struct {
	filter  bson.Raw
	matcher *query.Matcher
	sort    bson.Raw
	hint    bson.RawValue
	min     bson.Raw
	max     bson.Raw
	allowed allowance
}

// A plan says which records to look at, in which order.
type plan struct {
	index  string // "" is the natural order
	key    bson.Raw
	ranges []storage.ScanSpec // one after the other
	dedup  bool               // a record may turn up more than once
	sorted bool               // in the wanted order
	rivals int                // how many plans it was chosen from
	fields int                // how many conditions the ranges answer
	// examined and matched are how many records a run of it looked at and found.
	examined, matched int64
	coll              *collation.Collation // of the index
}

// collectionScan is the plan that looks at everything in natural order.
func collectionScan(reverse bool) plan {
	return plan{ranges: []storage.ScanSpec{{Reverse: reverse}}}
}

// makePlan chooses how to find the documents w wants in c.
func makePlan(c *storage.Collection, w wanted) (plan, error) {
	if err := checkNear(c, w); err != nil {
		return plan{}, err
	}
	if direction, ok, err := naturalHint(w.hint); err != nil || ok {
		if err == nil && (w.min != nil || w.max != nil) {
			err = mongoerr.New(mongoerr.BadValue, "min and max cannot be used with a $natural hint")
		}
		p := collectionScan(direction < 0)
		p.sorted = isEmpty(w.sort) || naturalSort(w.sort) == direction
		return p, err
	}
	if d := naturalSort(w.sort); d != 0 && isNone(w.hint) {
		p := collectionScan(d < 0)
		p.sorted = true
		return p, nil
	}
	hinted, err := hintedIndex(c, w)
	if err != nil {
		return plan{}, err
	}
	if w.min != nil || w.max != nil {
		return boundedPlan(hinted, w)
	}
	if hinted != nil {
		return indexPlan(hinted, w).plan, nil
	}
	return choosePlan(c, w), nil
}

// choosePlan takes the best of all usable indexes, or a collection scan.
func choosePlan(c *storage.Collection, w wanted) plan {
	best := candidate{plan: collectionScan(false)}
	best.plan.sorted = isEmpty(w.sort)
	rivals := 0
	for _, ix := range c.Indexes() {
		if ix.Hidden || isSpecial(ix) || !w.allowed.allows(ix) || !hasAll(w.matcher, ix) {
			continue
		}
		got := indexPlan(ix, w)
		if ix.Sparse && got.fields == 0 {
			if w.matcher == nil || ix.Hashed() == 0 || !w.matcher.Requires(ix.Fields()[0]) {
				continue
			}
			got.fields = 1
		}
		if got.fields > 0 || got.plan.sorted && !isEmpty(w.sort) {
			rivals++
		}
		if got.better(best) {
			best = got
		}
	}
	best.plan.rivals = rivals
	if best.plan.index == "" && !w.allowed.only {
		if p, ok := idBranches(c, w); ok {
			return p
		}
	}
	return best.plan
}

// A candidate is a plan with what speaks for it.
type candidate struct {
	plan   plan
	points int // leading fields fixed by equality
	fields int // leading fields with any bounds
}

func (a candidate) better(b candidate) bool {
	switch {
	case a.points != b.points:
		return a.points > b.points
	case a.fields != b.fields:
		return a.fields > b.fields
	default:
		return a.plan.sorted && !b.plan.sorted
	}
}

// hintedIndex returns the index of w's hint, nil without a hint.
func hintedIndex(c *storage.Collection, w wanted) (*storage.Index, error) {
	if isNone(w.hint) {
		if w.min != nil || w.max != nil {
			return nil, mongoerr.New(51173, "When using min()/max() a hint of which index to use must be provided")
		}
		return nil, nil
	}
	if name, ok := w.hint.StringValueOK(); ok {
		if ix := c.Index(name); ix != nil && !ix.Hidden {
			return ix, nil
		}
	} else if pattern, ok := w.hint.DocumentOK(); ok {
		for _, ix := range c.IndexesByKey(pattern) {
			if !ix.Hidden {
				return ix, nil
			}
		}
	} else {
		return nil, mongoerr.New(mongoerr.FailedToParse, "Hint must be either a string or nested object")
	}
	return nil, mongoerr.New(mongoerr.BadValue, "error processing query: planner returned error :: caused by :: hint provided does not correspond to an existing index")
}

// boundedPlan is the plan of find's min (inclusive) and max (exclusive).
func boundedPlan(ix *storage.Index, w wanted) (plan, error) {
	s := storage.ScanSpec{Index: ix.Name, MinIncl: true}
	for _, b := range []struct {
		key bson.Raw
		dst *[]byte
	}{{w.min, &s.Min}, {w.max, &s.Max}} {
		if b.key == nil {
			continue
		}
		if !sameFields(ix.Key, b.key) || !ix.Collation().Same(w.matcher.Collation()) && collation.HasStrings(value.Doc(b.key)) {
			return plan{}, mongoerr.New(51174, "The index chosen is not compatible with min/max: index key pattern %s, bound %s", ix.Key, b.key)
		}
		enc, err := ix.Bound(b.key)
		if err != nil {
			return plan{}, err
		}
		*b.dst = enc
	}
	if s.Min != nil && s.Max != nil && string(s.Min) >= string(s.Max) {
		return plan{}, mongoerr.New(51175, "The value provided for min() does not come before the value provided for max() in the hinted index")
	}
	reverse, sorted := servesSort(ix, 0, w.sort)
	if !ix.Collation().Same(w.matcher.Collation()) {
		reverse, sorted = false, isEmpty(w.sort)
	}
	s.Reverse = reverse && sorted
	return plan{index: ix.Name, key: ix.Key, ranges: []storage.ScanSpec{s}, dedup: ix.Multikey(), sorted: sorted, coll: ix.Collation()}, nil
}

// sameFields reports whether bound names exactly the fields of pattern.
func sameFields(pattern, bound bson.Raw) bool {
	p, err1 := pattern.Elements()
	b, err2 := bound.Elements()
	if err1 != nil || err2 != nil || len(p) != len(b) {
		return false
	}
	for i := range p {
		if p[i].Key() != b[i].Key() {
			return false
		}
	}
	return true
}

func isNone(v bson.RawValue) bool {
	if v.Type == 0 || v.Type == bson.TypeNull {
		return true
	}
	d, ok := v.DocumentOK()
	return ok && isEmpty(d)
}

// naturalHint reads a hint {$natural: 1} or {$natural: -1}.
func naturalHint(hint bson.RawValue) (direction int, ok bool, err error) {
	d, isDoc := hint.DocumentOK()
	if !isDoc || d.Lookup("$natural").Type == 0 {
		return 0, false, nil
	}
	direction = naturalSort(d)
	if direction == 0 {
		return 0, false, mongoerr.New(mongoerr.BadValue, "$natural hint must be 1 or -1")
	}
	return direction, true, nil
}

// naturalSort returns the direction of {$natural: d}, 0 for other sorts.
func naturalSort(sort bson.Raw) int {
	if isEmpty(sort) {
		return 0
	}
	i, ok := value.AsInt64(sort.Lookup("$natural"))
	if !ok || i != 1 && i != -1 {
		return 0
	}
	return int(i)
}
