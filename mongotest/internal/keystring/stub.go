package keystring

import "go.mongodb.org/mongo-driver/v2/bson"

func Append(dst []byte, v bson.RawValue, desc bool) []byte      { return dst }
func Encode(vals []bson.RawValue) (key []byte, typeBits []byte) { return nil, nil }
func Decode(key, typeBits []byte) ([]bson.RawValue, error)      { return nil, nil }
