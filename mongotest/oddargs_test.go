package mongotest_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest"
)

// Operators given anything at all are answered too: expressions, match
// operators, update operators, accumulators and stages.
func TestOddArgumentsAreAnswered(t *testing.T) {
	bubble(t, mongotest.Options{}, func(t *testing.T, c *mongotest.Cluster) {
		cl, done := connect(t, c)
		defer done()
		_, err := cl.Database("d").Collection("c").InsertOne(t.Context(), bson.D{{"_id", 1}, {"a", bson.A{1, "x", bson.D{{"b", 2}}}}, {"n", 5}, {"s", "text"}, {"d", bson.DateTime(0)}})
		require.NoError(t, err)
		for i, op := range expressions() {
			for _, arg := range arguments(i) {
				answered(t, cl, bson.D{
					{"aggregate", "c"}, {"pipeline", bson.A{bson.D{{"$project", bson.D{{"x", bson.D{{op, arg}}}}}}}}, {"cursor", bson.D{}},
				})
			}
		}
		for i, op := range matchers() {
			for _, arg := range arguments(i) {
				answered(t, cl, bson.D{{"find", "c"}, {"filter", bson.D{{"a", bson.D{{op, arg}}}}}})
				answered(t, cl, bson.D{{"find", "c"}, {"filter", bson.D{{op, arg}}}})
			}
		}
		for i, op := range updaters() {
			for _, arg := range arguments(i) {
				for _, field := range []string{"a", "n", "s", "new.x", "a.0", "a.$", "a.$[]"} {
					answered(t, cl, bson.D{{"update", "c"}, {"updates", bson.A{bson.D{
						{"q", bson.D{{"a", "x"}}}, {"u", bson.D{{op, bson.D{{field, arg}}}}},
					}}}})
				}
			}
		}
		for i, op := range stages() {
			for _, arg := range arguments(i) {
				answered(t, cl, bson.D{{"aggregate", "c"}, {"pipeline", bson.A{bson.D{{op, arg}}}}, {"cursor", bson.D{}}})
				answered(t, cl, bson.D{{"aggregate", "c"}, {"pipeline", bson.A{bson.D{{"$group", bson.D{{"_id", nil}, {"x", bson.D{{op, arg}}}}}}}}, {"cursor", bson.D{}}})
			}
		}
	})
}

// arguments are the oddities, the fields of the document, and an eighth of the
// lists and documents made of them: another eighth for each turn.
func arguments(turn int) []any {
	args := append(oddities(), "$a", "$n", "$s", "$d", "$missing", "$a.b")
	all := append([]any(nil), args...)
	for i, x := range args {
		y, z := args[(i*7+3)%len(args)], args[(i*11+5)%len(args)]
		made := []any{
			bson.A{x},
			bson.A{x, y},
			bson.A{"$a", x},
			bson.A{"$n", x},
			bson.A{"$s", x},
			bson.A{"$a", x, y},
			bson.A{"$s", 1, x},
			bson.A{x, y, z},
			bson.D{{"input", "$a"}, {"in", x}, {"as", "v"}, {"cond", y}, {"initialValue", z}},
			bson.D{{"input", x}, {"find", y}, {"replacement", z}, {"regex", x}, {"to", y}},
			bson.D{{"date", x}, {"format", y}, {"timezone", z}},
			bson.D{{"startDate", "$d"}, {"unit", x}, {"amount", y}, {"endDate", z}},
			bson.D{{"field", x}, {"input", y}, {"value", z}},
			bson.D{{"$each", x}, {"$slice", y}, {"$sort", z}, {"$position", x}},
			bson.D{{"if", x}, {"then", y}, {"else", z}},
			bson.D{{"vars", bson.D{{"q", x}}}, {"in", "$$q"}},
		}
		for j := (turn + i) % 8; j < len(made); j += 8 {
			all = append(all, made[j])
		}
	}
	return all
}

func expressions() []string {
	return []string{
		"$abs", "$add", "$allElementsTrue", "$and", "$anyElementTrue", "$arrayElemAt", "$arrayToObject", "$binarySize", "$bitAnd", "$bitNot", "$bitOr", "$bitXor", "$bsonSize",
		"$ceil", "$cmp", "$concat", "$concatArrays", "$cond", "$convert", "$dateAdd", "$dateDiff", "$dateFromParts", "$dateFromString", "$dateSubtract", "$dateToParts",
		"$dateToString", "$dateTrunc", "$dayOfMonth", "$dayOfWeek", "$dayOfYear", "$divide", "$eq", "$exp", "$filter", "$first", "$firstN", "$floor", "$function", "$getField", "$gt", "$gte",
		"$hour", "$ifNull", "$in", "$indexOfArray", "$indexOfBytes", "$indexOfCP", "$isArray", "$isNumber", "$isoWeek", "$isoWeekYear", "$last", "$lastN", "$let", "$literal", "$ln", "$log",
		"$log10", "$lt", "$lte", "$ltrim", "$map", "$max", "$maxN", "$mergeObjects", "$millisecond", "$min", "$minN", "$minute", "$mod", "$month", "$multiply", "$ne", "$not", "$objectToArray", "$or",
		"$pow", "$rand", "$range", "$reduce", "$regexFind", "$regexFindAll", "$regexMatch", "$replaceAll", "$replaceOne", "$reverseArray", "$round", "$rtrim", "$second", "$setDifference",
		"$setEquals", "$setField", "$setIntersection", "$setIsSubset", "$setUnion", "$size", "$slice", "$sortArray", "$split", "$sqrt", "$strLenBytes", "$strLenCP", "$strcasecmp", "$substr",
		"$substrBytes", "$substrCP", "$subtract", "$sum", "$switch", "$toBool", "$toDate", "$toDecimal", "$toDouble", "$toHashedIndexKey", "$toInt", "$toLong", "$toLower", "$toObjectId", "$toString",
		"$toUpper", "$trim", "$trunc", "$tsIncrement", "$tsSecond", "$type", "$unsetField", "$week", "$year", "$zip", "$avg", "$stdDevPop",
	}
}

func matchers() []string {
	return []string{
		"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$and", "$or", "$nor", "$not", "$exists", "$type", "$all", "$size", "$elemMatch", "$mod", "$regex", "$options",
		"$bitsAllSet", "$bitsAnyClear", "$expr", "$comment", "$jsonSchema", "$alwaysTrue", "$where", "$text", "$sampleRate",
	}
}

func updaters() []string {
	return []string{"$set", "$unset", "$inc", "$mul", "$min", "$max", "$rename", "$bit", "$push", "$pushAll", "$pull", "$pullAll", "$pop", "$addToSet", "$currentDate", "$setOnInsert"}
}

func stages() []string {
	return []string{
		"$match", "$project", "$set", "$addFields", "$unset", "$replaceRoot", "$replaceWith", "$group", "$sort", "$limit", "$skip", "$count", "$unwind", "$sample", "$lookup", "$unionWith", "$facet",
		"$bucket", "$bucketAuto", "$sortByCount", "$out", "$merge", "$collStats", "$indexStats", "$changeStream", "$currentOp", "$listSessions", "$documents", "$graphLookup", "$redact",
		"$avg", "$min", "$max", "$first", "$last", "$push", "$addToSet", "$sum", "$mergeObjects", "$firstN", "$top", "$stdDevPop",
	}
}
