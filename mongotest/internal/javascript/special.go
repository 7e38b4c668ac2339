package javascript

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"

	"github.com/dop251/goja"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// A kind names the class of a special object.
type kind string

const (
	kindObjectID  kind = "ObjectId"
	kindLong      kind = "NumberLong"
	kindInt       kind = "NumberInt"
	kindDecimal   kind = "NumberDecimal"
	kindBinData   kind = "BinData"
	kindTimestamp kind = "Timestamp"
	kindMinKey    kind = "MinKey"
	kindMaxKey    kind = "MaxKey"
	kindDBPointer kind = "DBPointer"
	kindDBRef     kind = "DBRef"
	kindCode      kind = "Code"
)

// A special is a BSON value of a type that the language does not have. Scripts
// see its parts; its methods are in the prototype of its kind. It implements
// goja.DynamicObject.
type special struct {
	e     *Engine
	value bson.RawValue
}

func (e *Engine) special(v bson.RawValue) *goja.Object {
	o := e.vm.NewDynamicObject(&special{e: e, value: v})
	if proto := e.kinds[kindOf(v.Type)]; proto != nil {
		_ = o.SetPrototype(proto) // fails for objects that may not be extended
	}
	return o
}

func kindOf(t bson.Type) kind {
	switch t {
	case bson.TypeObjectID:
		return kindObjectID
	case bson.TypeInt64:
		return kindLong
	case bson.TypeInt32:
		return kindInt
	case bson.TypeDecimal128:
		return kindDecimal
	case bson.TypeBinary:
		return kindBinData
	case bson.TypeTimestamp:
		return kindTimestamp
	case bson.TypeMinKey:
		return kindMinKey
	case bson.TypeMaxKey:
		return kindMaxKey
	case bson.TypeDBPointer:
		return kindDBPointer
	default:
		return kindCode
	}
}

// Keys implements goja.DynamicObject.
func (s *special) Keys() []string {
	switch kindOf(s.value.Type) {
	case kindObjectID:
		return []string{"str"}
	case kindTimestamp:
		return []string{"t", "i"}
	case kindLong:
		if exact(s.value.Int64()) {
			return []string{"floatApprox"}
		}
		return []string{"floatApprox", "top", "bottom"}
	case kindBinData:
		return []string{"len", "type"}
	case kindDBPointer:
		return []string{"ns", "id"}
	case kindCode:
		return []string{"code", "scope"}
	default:
		return nil
	}
}

// exact reports whether a number of scripts can be i.
func exact(i int64) bool { return i >= -1<<53 && i <= 1<<53 }

// Get implements goja.DynamicObject.
func (s *special) Get(key string) goja.Value {
	part := s.part(key)
	if part == nil {
		return nil
	}
	return s.e.vm.ToValue(part)
}

func (s *special) part(key string) any {
	switch v := s.value; kindOf(v.Type) {
	case kindObjectID:
		if key == "str" {
			return v.ObjectID().Hex()
		}
	case kindTimestamp:
		t, i := v.Timestamp()
		return pick(key, "t", t, "i", i)
	case kindLong:
		i := v.Int64()
		return pick(key, "floatApprox", float64(i), "top", i>>32, "bottom", uint32(i), "exactValueString", strconv.FormatInt(i, 10))
	case kindInt:
		return pick(key, "floatApprox", float64(v.Int32()))
	case kindDecimal:
		return pick(key, "text", v.Decimal128().String())
	case kindBinData:
		sub, b := v.Binary()
		return pick(key, "len", len(b), "type", int(sub), "data", func() string { return base64.StdEncoding.EncodeToString(b) },
			"digits", func() string { return hex.EncodeToString(b) })
	case kindDBPointer:
		ns, id := v.DBPointer()
		return pick(key, "ns", ns, "id", s.e.special(bson.RawValue{Type: bson.TypeObjectID, Value: id[:]}))
	case kindCode:
		code, scope := v.CodeWithScope()
		return pick(key, "code", code, "scope", s.e.document(scope))
	default:
	}
	return nil
}

// pick returns the value behind key.
func pick(key string, pairs ...any) any {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] == key {
			return pairs[i+1]
		}
	}
	return nil
}

// Set implements goja.DynamicObject: the parts are fixed.
func (s *special) Set(string, goja.Value) bool { return false }

// Has implements goja.DynamicObject.
func (s *special) Has(key string) bool { return s.part(key) != nil }

// Delete implements goja.DynamicObject.
func (s *special) Delete(string) bool { return false }
