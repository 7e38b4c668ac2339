package histories_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// idKey tells values of _id apart.
func idKey(v bson.RawValue) string { return string(rune(v.Type)) + string(v.Value) }

func keyOf(id any) string {
	t, data, err := bson.MarshalValue(id)
	if err != nil {
		panic(err)
	}
	return idKey(bson.RawValue{Type: t, Value: data})
}

// newID draws one of few values, of several types.
func newID(rnd *rand.Rand) any {
	n := rnd.IntN(6)
	switch rnd.IntN(5) {
	case 0:
		return int32(n)
	case 1:
		return int64(1)<<33 + int64(n)
	case 2:
		return float64(n) + 0.5
	case 3:
		return bson.ObjectID{11: byte(n)}
	default:
		return "id" + strconv.Itoa(n)
	}
}

func (w *world) newDoc(id any) bson.D {
	d := bson.D{{"_id", id}, {"k", int32(w.rnd.IntN(10))}, {"v", w.next()}, {"n", bson.D{{"a", int32(1)}, {"7", "seven"}}}}
	arr := bson.A{}
	for range w.rnd.IntN(5) {
		arr = append(arr, bson.D{{"x", w.next()}})
	}
	return append(d, bson.E{Key: "arr", Value: arr})
}

func get(d bson.D, name string) any {
	for _, e := range d {
		if e.Key == name {
			return e.Value
		}
	}
	return nil
}

// set returns d with a field changed, or appended.
func set(d bson.D, name string, v any) bson.D {
	d = slices.Clone(d)
	for i := range d {
		if d[i].Key == name {
			d[i].Value = v
			return d
		}
	}
	return append(d, bson.E{Key: name, Value: v})
}

func unset(d bson.D, name string) bson.D {
	return slices.DeleteFunc(slices.Clone(d), func(e bson.E) bool { return e.Key == name })
}

// mutate draws a change of a document: the update, and what it makes of it.
func (w *world) mutate(d bson.D) (update any, after bson.D) {
	arr, n := get(d, "arr").(bson.A), get(d, "n").(bson.D)
	v := w.next()
	switch w.rnd.IntN(10) {
	case 0:
		return bson.D{{"$set", bson.D{{"n.a", v}}}}, set(d, "n", set(n, "a", v))
	case 1:
		if get(d, "w") != nil {
			return bson.D{{"$unset", bson.D{{"w", 1}}}}, unset(d, "w")
		}
		return bson.D{{"$set", bson.D{{"w", v}}}}, set(d, "w", v)
	case 2:
		return bson.D{{"$push", bson.D{{"arr", v}}}}, set(d, "arr", append(slices.Clone(arr), v))
	case 3:
		if len(arr) > 0 {
			i := w.rnd.IntN(len(arr))
			changed := slices.Clone(arr)
			changed[i] = v
			return bson.D{{"$set", bson.D{{fmt.Sprintf("arr.%d", i), v}}}}, set(d, "arr", changed)
		}
	case 4:
		if len(arr) > 0 {
			return bson.D{{"$pop", bson.D{{"arr", 1}}}}, set(d, "arr", slices.Clone(arr[:len(arr)-1]))
		}
	case 5:
		if len(arr) > 0 {
			return bson.D{{"$pop", bson.D{{"arr", -1}}}}, set(d, "arr", slices.Clone(arr[1:]))
		}
	case 6:
		return bson.D{{"$set", bson.D{{"n.7", v}, {"v", v}}}, {"$push", bson.D{{"arr", v}}}},
			set(set(set(d, "v", v), "n", set(n, "7", v)), "arr", append(slices.Clone(arr), v))
	case 7:
		return bson.A{bson.D{{"$set", bson.D{{"v", v}, {"n", bson.D{{"a", v}}}}}}, bson.D{{"$unset", "w"}}},
			unset(set(set(d, "v", v), "n", set(n, "a", v)), "w")
	case 8:
		if len(arr) > 2 {
			kept := append(slices.Clone(arr[len(arr)-1:]), v)
			return bson.D{{"$push", bson.D{{"arr", bson.D{{"$each", bson.A{v}}, {"$slice", -2}}}}}}, set(d, "arr", kept)
		}
	}
	return bson.D{{"$set", bson.D{{"v", v}}}}, set(d, "v", v)
}

// describe applies an updateDescription: first it cuts arrays, then it removes,
// then it sets.
func describe(d bson.D, description bson.Raw) (bson.D, error) {
	var u struct {
		Updated   bson.D   `bson:"updatedFields"`
		Removed   []string `bson:"removedFields"`
		Truncated []struct {
			Field string `bson:"field"`
			Size  int    `bson:"newSize"`
		} `bson:"truncatedArrays"`
		Paths map[string]bson.A `bson:"disambiguatedPaths"`
	}
	if err := bson.Unmarshal(description, &u); err != nil {
		return nil, err
	}
	path := func(name string) []string {
		if parts, ok := u.Paths[name]; ok {
			var out []string
			for _, p := range parts {
				out = append(out, fmt.Sprint(p))
			}
			return out
		}
		return strings.Split(name, ".")
	}
	var root any = d
	for _, cut := range u.Truncated {
		root = at(root, path(cut.Field), func(v any) any { return slices.Clone(v.(bson.A)[:cut.Size]) })
	}
	for _, name := range u.Removed {
		root = at(root, path(name), nil)
	}
	for _, e := range u.Updated {
		root = at(root, path(e.Key), func(any) any { return e.Value })
	}
	return root.(bson.D), nil
}

// at changes the value at a path; change is nil to remove it.
func at(v any, path []string, change func(any) any) any {
	if len(path) == 0 {
		return change(v)
	}
	if arr, ok := v.(bson.A); ok {
		i, err := strconv.Atoi(path[0])
		if err != nil {
			panic(err)
		}
		arr = slices.Clone(arr)
		if i == len(arr) {
			arr = append(arr, nil)
		}
		arr[i] = at(arr[i], path[1:], change)
		return arr
	}
	d := v.(bson.D)
	if change == nil && len(path) == 1 {
		return unset(d, path[0])
	}
	return set(d, path[0], at(get(d, path[0]), path[1:], change))
}

func same(a, b any) bool { return string(raw(a)) == string(raw(b)) }

func raw(v any) bson.Raw {
	b, err := bson.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
