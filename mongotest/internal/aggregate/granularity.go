package aggregate

import (
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// series are the preferred numbers of $bucketAuto's granularities, over the
// decade from the first to ten times it.
type preferred struct {
	base float64 // the decade, or 2
	nums []float64
}

// granularityOf returns the numbers that boundaries are rounded to.
func granularityOf(name string) (preferred, bool) {
	if name == "POWERSOF2" {
		return preferred{base: 2, nums: []float64{1}}, true
	}
	nums, ok := map[string][]float64{
		"1-2-5": {10, 20, 50},
		"R5":    {10, 16, 25, 40, 63},
		"R10":   {100, 125, 160, 200, 250, 315, 400, 500, 630, 800},
		"R20":   {100, 112, 125, 140, 160, 180, 200, 224, 250, 280, 315, 355, 400, 450, 500, 560, 630, 710, 800, 900},
		"R40": {
			100, 106, 112, 118, 125, 132, 140, 150, 160, 170, 180, 190, 200, 212, 224, 236, 250, 265, 280, 300,
			315, 335, 355, 375, 400, 425, 450, 475, 500, 530, 560, 600, 630, 670, 710, 750, 800, 850, 900, 950,
		},
		"R80": {
			103, 109, 115, 122, 128, 136, 145, 155, 165, 175, 185, 195, 206, 218, 230, 243, 258, 272, 290, 307,
			325, 345, 365, 387, 412, 437, 462, 487, 515, 545, 575, 615, 650, 690, 730, 775, 825, 875, 925, 975,
		},
		"E6":  {10, 15, 22, 33, 47, 68},
		"E12": {10, 12, 15, 18, 22, 27, 33, 39, 47, 56, 68, 82},
		"E24": {10, 11, 12, 13, 15, 16, 18, 20, 22, 24, 27, 30, 33, 36, 39, 43, 47, 51, 56, 62, 68, 75, 82, 91},
	}[name]
	if !ok {
		if n := map[string]int{"E48": 48, "E96": 96, "E192": 192}[name]; n > 0 {
			return preferred{base: 10, nums: eSeries(n)}, true
		}
		return preferred{}, false
	}
	return preferred{base: 10, nums: nums}, true
}

// eSeries computes a series of three digits; 919 stands where rounding of the
// finest series gives 920.
func eSeries(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.Round(100 * math.Pow(10, float64(i)/float64(n)))
		if n == 192 && out[i] == 919 {
			out[i] = 920
		}
	}
	return out
}

// up returns the least number of the series greater than x.
func (p preferred) up(x float64) float64 {
	if x == 0 {
		return 0
	}
	scale := p.scale(x)
	for _, n := range p.nums {
		if n*scale > x {
			return n * scale
		}
	}
	return p.nums[0] * scale * p.base
}

// down returns the greatest number of the series less than x.
func (p preferred) down(x float64) float64 {
	if x == 0 {
		return 0
	}
	scale := p.scale(x)
	for i := len(p.nums) - 1; i >= 0; i-- {
		if p.nums[i]*scale < x {
			return p.nums[i] * scale
		}
	}
	return p.nums[len(p.nums)-1] * scale / p.base
}

// scale brings the first number of the series to the decade of x.
func (p preferred) scale(x float64) float64 {
	scale := 1.0
	for ; p.nums[0]*scale > x; scale /= p.base {
	}
	for ; p.nums[0]*scale*p.base <= x; scale *= p.base {
	}
	return scale
}

// checkGranular refuses the values that have no place in a series.
func checkGranular(v bson.RawValue) error {
	switch {
	case !number.Is(v):
		return mongoerr.New(40258, "A value of type '%s' was encountered in $bucketAuto with a 'granularity', which supports only numbers", typeName(v))
	case isNaN(v):
		return mongoerr.New(40259, "A NaN value was encountered in $bucketAuto with a 'granularity'")
	case compare(v, value.Int32(0)) < 0:
		return mongoerr.New(40260, "A negative value was encountered in $bucketAuto with a 'granularity': %s", rawdoc.Render(v))
	}
	return nil
}
