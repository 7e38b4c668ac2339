package query

import "go.mongodb.org/mongo-driver/v2/bson"

type Projection struct{}
type Sort struct{}

func CompileProjection(spec bson.Raw, o Options) (*Projection, error)    { return &Projection{}, nil }
func (p *Projection) Apply(doc bson.Raw, arrayIdx int) (bson.Raw, error) { return doc, nil }
func CompileSort(spec bson.Raw) (*Sort, error)                           { return &Sort{}, nil }
func (s *Sort) Compare(a, b bson.Raw) int                                { return 0 }
func (s *Sort) Key(doc bson.Raw) []byte                                  { return nil }
