package shardferry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A DocumentFilter chooses documents of a collection of the source: only those
// that match are synced. Whether one does, the source's server decides, never we.
type DocumentFilter struct {
	Database   string   `bson:"database"`
	Collection string   `bson:"collection"`
	Filter     bson.Raw `bson:"filter"` // a query; which ones there may be says FilterPaths
}

// A documentFilterForm is a DocumentFilter whose filter is extended JSON.
type documentFilterForm struct {
	Database   string          `json:"database"`
	Collection string          `json:"collection"`
	Filter     json.RawMessage `json:"filter"`
}

// Namespace returns the collection that f is about.
func (f DocumentFilter) Namespace() Namespace { return Namespace{DB: f.Database, Coll: f.Collection} }

// ParseFilter reads a query in extended JSON.
func ParseFilter(text []byte) (bson.Raw, error) {
	var d bson.D
	if err := bson.UnmarshalExtJSON(text, false, &d); err != nil {
		return nil, fmt.Errorf("it is no document in extended JSON: %w", err)
	}
	return bson.Marshal(d)
}

// MarshalJSON gives the filter as canonical extended JSON.
func (f DocumentFilter) MarshalJSON() ([]byte, error) {
	text, err := bson.MarshalExtJSON(f.Filter, true, false)
	if err != nil {
		return nil, err
	}
	return json.Marshal(documentFilterForm{f.Database, f.Collection, text})
}

// UnmarshalJSON takes the filter as extended JSON.
func (f *DocumentFilter) UnmarshalJSON(text []byte) error {
	var form documentFilterForm
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&form); err != nil {
		return fmt.Errorf("documentFilters: %w", err)
	}
	return f.take(form.Database, form.Collection, form.Filter)
}

// UnmarshalYAML takes the filter as a text of extended JSON.
func (f *DocumentFilter) UnmarshalYAML(decode func(any) error) error {
	var form struct {
		Database   string `yaml:"database"`
		Collection string `yaml:"collection"`
		Filter     string `yaml:"filter"`
	}
	if err := decode(&form); err != nil {
		return err
	}
	return f.take(form.Database, form.Collection, []byte(form.Filter))
}

func (f *DocumentFilter) take(db, coll string, text []byte) (err error) {
	f.Database, f.Collection, f.Filter = db, coll, nil
	if len(bytes.TrimSpace(text)) == 0 {
		return nil // Forward says that it is missing
	}
	if f.Filter, err = ParseFilter(text); err != nil {
		return fmt.Errorf("documentFilters: filter of %s: %w", f.Namespace(), err)
	}
	return nil
}

func (s *selector) filter(f DocumentFilter) error {
	ns := f.Namespace()
	if err := (CollectionName{Database: f.Database, Collection: f.Collection}).check(); err != nil {
		return err
	}
	if !s.takes(ns) {
		return fmt.Errorf("%s is not selected", ns)
	}
	if _, ok := s.filters[ns]; ok {
		return fmt.Errorf("%s has another filter already: join them by $and", ns)
	}
	if len(f.Filter) == 0 {
		return errors.New("filter: it is missing")
	}
	if _, err := FilterPaths(f.Filter); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	s.filters[ns] = f.Filter
	return nil
}

// Filter returns what documents of a source collection must match to be synced,
// nil if all are. On the way back nothing is filtered: with a filter there is none.
func (r Route) Filter(ns Namespace) bson.Raw {
	if r.selector == nil || r.back {
		return nil
	}
	return r.selector.filters[ns]
}

// Filters returns all filters, by the namespace on the source.
func (r Route) Filters() map[Namespace]bson.Raw {
	if r.selector == nil || r.back {
		return nil
	}
	return maps.Clone(r.selector.filters)
}

// conditions are the operators by which a field may be compared. Whether a
// document matches them depends on nothing but what it has at the field's path.
var conditions = []string{
	"$eq", "$ne", "$in", "$nin", "$gt", "$gte", "$lt", "$lte", "$exists", "$type", "$mod", "$regex", "$options", "$not",
}

// FilterPaths returns the paths of the fields that a query compares. It refuses a
// query that holds anything but conditions on fields, joined by $and, $or and $nor:
// of others nobody can say which updates change whether a document matches, or
// whether they mean the same about a document inside a change event.
func FilterPaths(filter bson.Raw) ([]string, error) {
	var paths []string
	_, err := walkFilter(filter, func(path string) string {
		paths = append(paths, path)
		return path
	})
	slices.Sort(paths)
	return slices.Compact(paths), err
}

// FilterBelow returns the query that asks of a field what filter asks of a whole
// document. The filter is one that FilterPaths takes.
func FilterBelow(field string, filter bson.Raw) (bson.Raw, error) {
	d, err := walkFilter(filter, func(path string) string { return field + "." + path })
	if err != nil {
		return nil, err
	}
	return bson.Marshal(d)
}

// walkFilter returns the query with each path replaced by what name makes of it.
func walkFilter(filter bson.Raw, name func(path string) string) (bson.D, error) {
	elems, err := filter.Elements()
	if err != nil {
		return nil, fmt.Errorf("it is no document: %w", err)
	}
	out := make(bson.D, 0, len(elems))
	for _, e := range elems {
		key, value := e.Key(), e.Value()
		switch {
		case key == "$and" || key == "$or" || key == "$nor":
			parts, err := walkParts(key, value, name)
			if err != nil {
				return nil, err
			}
			out = append(out, bson.E{Key: key, Value: parts})
			continue
		case strings.HasPrefix(key, "$"):
			return nil, fmt.Errorf("%s: this operator is not supported in a document filter", key)
		}
		if err := checkPath(key); err != nil {
			return nil, err
		}
		if err := checkCondition(key, value); err != nil {
			return nil, err
		}
		out = append(out, bson.E{Key: name(key), Value: value})
	}
	return out, nil
}

func walkParts(op string, list bson.RawValue, name func(path string) string) (bson.A, error) {
	array, ok := list.ArrayOK()
	if !ok {
		return nil, fmt.Errorf("%s: want a list of queries", op)
	}
	values, err := array.Values()
	if err != nil || len(values) == 0 {
		return nil, fmt.Errorf("%s: want a list of queries", op)
	}
	parts := make(bson.A, 0, len(values))
	for _, v := range values {
		one, ok := v.DocumentOK()
		if !ok {
			return nil, fmt.Errorf("%s: want a list of queries", op)
		}
		part, err := walkFilter(one, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", op, err)
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// checkPath refuses paths that do not mean the same in a query, in an update's
// description, and behind another path.
func checkPath(path string) error {
	for part := range strings.SplitSeq(path, ".") {
		if part == "" || part[0] == '$' {
			return fmt.Errorf("the field %q: a name that is empty or begins with a dollar sign is not supported in a document filter", path)
		}
	}
	return nil
}

// checkCondition refuses what a field is compared by if it is not among the
// conditions. A document that does not begin with an operator is a value.
func checkCondition(path string, v bson.RawValue) error {
	doc, ok := v.DocumentOK()
	if !ok {
		return nil
	}
	elems, err := doc.Elements()
	if err != nil {
		return fmt.Errorf("the field %q: %w", path, err)
	}
	if len(elems) == 0 || !strings.HasPrefix(elems[0].Key(), "$") {
		return nil
	}
	for _, e := range elems {
		if !slices.Contains(conditions, e.Key()) {
			return fmt.Errorf("the field %q: the operator %s is not supported in a document filter", path, e.Key())
		}
		if e.Key() == "$not" {
			if err := checkCondition(path, e.Value()); err != nil {
				return err
			}
		}
	}
	return nil
}

// FilterTouched reports whether a change at one path of a document may change what
// a query on another sees. Numbers in a path may be places in arrays, which a query
// need not name, so they are left out of both.
func FilterTouched(changed, asked string) bool {
	a, b := namedPath(changed), namedPath(asked)
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func namedPath(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "."), func(part string) bool {
		return strings.Trim(part, "0123456789") == ""
	})
}
