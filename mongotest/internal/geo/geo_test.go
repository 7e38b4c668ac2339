package geo_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/geo"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// val reads the value that a JSON text stands for.
func val(t *testing.T, json string) bson.RawValue {
	t.Helper()
	var d bson.D
	require.NoError(t, bson.UnmarshalExtJSON([]byte(`{"v":`+json+`}`), false, &d), json)
	raw, err := bson.Marshal(d)
	require.NoError(t, err)
	v, _ := value.Get(raw, "v")
	return v
}

const (
	square  = `[[0,0],[10,0],[10,10],[0,10],[0,0]]`
	hole    = `[[2,2],[4,2],[4,4],[2,4],[2,2]]`
	strict  = `"crs": {"type": "name", "properties": {"name": "urn:x-mongodb:crs:strictwinding:EPSG:4326"}}`
	polygon = `{"type": "Polygon", "coordinates": `
)

func TestRegions(t *testing.T) {
	for _, tt := range []struct {
		op, region string
		yes, no    []string
	}{
		{"$geoWithin", `{"$box": [[0,0],[10,10]]}`, []string{`[5,5]`, `[10,10]`, `{"x": 1, "y": 2}`, `{"type": "Point", "coordinates": [1,1]}`}, []string{`[11,5]`, `5`, `{"type": "LineString", "coordinates": [[1,1],[2,2]]}`}},
		{"$within", `{"$center": [[0,0], 5]}`, []string{`[3,4]`, `[0,-5]`}, []string{`[3.1,4]`}},
		{"$geoWithin", `{"$polygon": [[0,0],[10,10],[10,0]]}`, []string{`[5,1]`, `[10,5]`, `[0,0]`}, []string{`[5,5]`, `[1,5]`}},
		{"$geoWithin", `{"$centerSphere": [[0,0], 0.1]}`, []string{`[5,0]`, `{"type": "LineString", "coordinates": [[0,0],[1,1]]}`}, []string{`[6,0]`, `{"type": "LineString", "coordinates": [[0,0],[50,1]]}`}},
		{"$geoWithin", `{"$geometry": ` + polygon + `[` + square + `,` + hole + `]}}`, []string{`[5,5]`, `[10,5]`, `[0,0]`, polygon + `[[[5,5],[6,5],[6,6],[5,5]]]}`}, []string{`[3,3]`, `[20,5]`, `[200,5]`, polygon + `[` + square + `]}`}},
		{"$geoWithin", `{"$geometry": ` + polygon + `[[[179,-1],[-179,-1],[-179,1],[179,1],[179,-1]]]}}`, []string{`[179.5,0]`, `[-179.5,0]`}, []string{`[0,0]`}},
		{"$geoWithin", `{"$geometry": ` + polygon + `[[[-10,-10],[-10,10],[10,10],[10,-10],[-10,-10]]], ` + strict + `}}`, []string{`[50,50]`}, []string{`[0,0]`}},
		{"$geoIntersects", `{"$geometry": {"type": "Point", "coordinates": [5,0]}}`, []string{`[5,0]`, `{"type": "LineString", "coordinates": [[0,0],[9,0]]}`, polygon + `[` + square + `]}`}, []string{`[5,1]`, polygon + `[[[20,20],[30,20],[30,30],[20,20]]]}`}},
		{"$geoIntersects", `{"$geometry": {"type": "LineString", "coordinates": [[-5,5],[5,5]]}}`, []string{polygon + `[` + square + `]}`, `{"type": "LineString", "coordinates": [[0,0],[0,9]]}`}, []string{`{"type": "LineString", "coordinates": [[20,0],[20,9]]}`}},
		{"$geoIntersects", `{"$geometry": ` + polygon + `[` + square + `]}}`, []string{polygon + `[` + square + `]}`, polygon + `[` + hole + `]}`, `{"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [5,5]}]}`}, []string{polygon + `[[[10,0],[20,0],[20,10],[10,10],[10,0]]]}`}},
	} {
		r, err := geo.ParseRegion(tt.op, val(t, tt.region))
		require.NoError(t, err, tt.region)
		for _, g := range tt.yes {
			assert.True(t, r.Holds(val(t, g)), "%s %s: %s", tt.op, tt.region, g)
		}
		for _, g := range tt.no {
			assert.False(t, r.Holds(val(t, g)), "%s %s: %s", tt.op, tt.region, g)
		}
	}
}

func TestBadRegionsAreRefused(t *testing.T) {
	for _, region := range []string{
		`1`, `{}`, `{"$circle": [[0,0],1]}`, `{"$box": [[0,0]]}`, `{"$box": [[0,0],[1,"x"]]}`, `{"$center": [[0,0],-1]}`,
		`{"$center": [[0,0]]}`, `{"$center": [[0,0],1,1]}`, `{"$polygon": [[0,0],[1,1]]}`, `{"$centerSphere": [[200,0],1]}`,
		`{"$box": [[0,0],[1,1]], "$center": [[0,0],1]}`,
		`{"$geometry": {"type": "Point", "coordinates": [0,0]}}`,
		`{"$geometry": {"type": "point", "coordinates": [0,0]}}`,
		`{"$geometry": ` + polygon + `[[[0,0],[10,0],[10,10],[0,10]]]}}`,
		`{"$geometry": ` + polygon + `[[[0,0],[10,10],[10,0],[0,10],[0,0]]]}}`,
		`{"$geometry": ` + polygon + `[[[0,0],[200,0],[10,10],[0,0]]]}}`,
		`{"$geometry": ` + polygon + `[` + hole + `,` + square + `]}}`,
		`{"$geometry": ` + polygon + `[` + square + `], "crs": {"type": "name", "properties": {"name": "x"}}}}`,
	} {
		_, err := geo.ParseRegion("$geoWithin", val(t, region))
		assert.True(t, mongoerr.Is(err, mongoerr.BadValue), "%s: %v", region, err)
	}
}

func TestNearness(t *testing.T) {
	for _, tt := range []struct {
		cond, place string
		want        float64 // negative: too close or too far
	}{
		{`{"$near": [0,0]}`, `[3,4]`, 5},
		{`{"$near": [0,0], "$maxDistance": 4}`, `[3,4]`, -1},
		{`{"$near": [0,0,4]}`, `[3,4]`, -1},
		{`{"$near": [0,0], "$minDistance": 6}`, `[3,4]`, -1},
		{`{"$near": [0,0]}`, `[[30,40],[3,4]]`, 5},
		{`{"$nearSphere": [0,0]}`, `[0,90]`, 1.5707963},
		{`{"$near": {"$geometry": {"type": "Point", "coordinates": [0,0]}}}`, `{"type": "Point", "coordinates": [0,1]}`, 111318.84},
		{`{"$near": {"$geometry": {"type": "Point", "coordinates": [5,5]}}}`, polygon + `[` + square + `]}`, 0},
		{`{"$near": {"$geometry": {"type": "Point", "coordinates": [0,0]}, "$maxDistance": 1000}}`, `[0,1]`, -1},
		{`{"$near": {"type": "Point", "coordinates": [0,0]}}`, `[0,1]`, 111318.84},
	} {
		n, err := geo.ParseNear(bson.Raw(val(t, tt.cond).Value))
		require.NoError(t, err, tt.cond)
		d, ok := n.Distance([]bson.RawValue{val(t, tt.place)})
		assert.Equal(t, tt.want >= 0, ok, "%s: %s", tt.cond, tt.place)
		if ok {
			assert.InDelta(t, tt.want, d, 0.01)
		}
	}
}

func TestNearnessAsksForItsIndex(t *testing.T) {
	for cond, kinds := range map[string][]string{
		`{"$near": [0,0]}`:       {"2d"},
		`{"$nearSphere": [0,0]}`: {"2d", "2dsphere"},
		`{"$near": {"$geometry": {"type": "Point", "coordinates": [0,0]}}}`: {"2dsphere"},
	} {
		n, err := geo.ParseNear(bson.Raw(val(t, cond).Value))
		require.NoError(t, err)
		var serving []string
		for _, kind := range []string{"", "2d", "2dsphere", "text"} {
			if n.Serves(kind) {
				serving = append(serving, kind)
			}
		}
		assert.Equal(t, kinds, serving, cond)
	}
}

func TestBadNearnessIsRefused(t *testing.T) {
	for cond, code := range map[string]mongoerr.Code{
		`{"$near": 1}`:                          mongoerr.BadValue,
		`{"$near": [1]}`:                        mongoerr.BadValue,
		`{"$near": {}}`:                         mongoerr.BadValue,
		`{"$near": [0,0], "$minDistance": -1}`:  16894,
		`{"$near": [0,0], "$minDistance": "x"}`: 16893,
		`{"$near": [0,0], "$maxDistance": "x"}`: 16895,
		`{"$near": [0,0], "$maxDistance": -1}`:  16896,
		`{"$near": [0,0,-1]}`:                   18522,
		`{"$near": [0,0], "$eq": 1}`:            34413,
		`{"$near": {"$geometry": [0,0]}}`:       mongoerr.BadValue,
		`{"$near": {"$geometry": {"type": "Point", "coordinates": [0,0]}, "$minDistance": -1}}`: mongoerr.BadValue,
		`{"$near": {"$geometry": {"type": "Point", "coordinates": [0,0]}, "$other": 1}}`:        mongoerr.BadValue,
		`{"$near": {"$geometry": {"type": "LineString", "coordinates": [[0,0],[1,1]]}}}`:        mongoerr.BadValue,
		`{"$nearSphere": [200,0]}`: mongoerr.BadValue,
	} {
		_, err := geo.ParseNear(bson.Raw(val(t, cond).Value))
		assert.True(t, mongoerr.Is(err, code), "%s: %v", cond, err)
	}
}
