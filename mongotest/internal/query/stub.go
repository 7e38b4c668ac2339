package query

import "go.mongodb.org/mongo-driver/v2/bson"

type Matcher struct{}
type Bounds struct {
	Eq               []bson.RawValue
	Min, Max         *bson.RawValue
	MinIncl, MaxIncl bool
}
type Projection struct{}
type Sort struct{}

func Compile(filter bson.Raw, o Options) (*Matcher, error)               { return &Matcher{}, nil }
func (m *Matcher) Match(doc bson.Raw) (bool, error)                      { return true, nil }
func (m *Matcher) MatchArrayIndex(doc bson.Raw) (ok bool, idx int)       { return true, -1 }
func (m *Matcher) Bounds(path string) (Bounds, bool)                     { return Bounds{}, false }
func CompileProjection(spec bson.Raw, o Options) (*Projection, error)    { return &Projection{}, nil }
func (p *Projection) Apply(doc bson.Raw, arrayIdx int) (bson.Raw, error) { return doc, nil }
func CompileSort(spec bson.Raw) (*Sort, error)                           { return &Sort{}, nil }
func (s *Sort) Compare(a, b bson.Raw) int                                { return 0 }
func (s *Sort) Key(doc bson.Raw) []byte                                  { return nil }
func EqualityFields(filter bson.Raw) (bson.Raw, error)                   { return nil, nil }
