package value

import "go.mongodb.org/mongo-driver/v2/bson"

// TypeName is the server's name of a BSON type, as in $type.
func TypeName(t bson.Type) string {
	switch t {
	case bson.TypeEmbeddedDocument:
		return "object"
	case bson.TypeInt32:
		return "int"
	case bson.TypeInt64:
		return "long"
	case bson.TypeBoolean:
		return "bool"
	case bson.TypeDateTime:
		return "date"
	case bson.TypeBinary:
		return "binData"
	case bson.TypeObjectID:
		return "objectId"
	case bson.TypeDecimal128:
		return "decimal"
	case 0:
		return "missing"
	default:
		return t.String()
	}
}
