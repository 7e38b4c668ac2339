package number

import (
	"math"
	"math/big"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// digits is the precision of a decimal128.
const digits = 34

// Dec is a decimal number: coef × 10^exp, or one of the special values.
type Dec struct {
	coef *big.Int // nil for the special values
	exp  int
	inf  int // +1, -1
	nan  bool
}

// Decimal converts a BSON number; a double gets the 15 digits the server
// keeps.
func Decimal(v bson.RawValue) Dec {
	switch v.Type {
	case bson.TypeInt32:
		return Dec{coef: big.NewInt(int64(v.Int32()))}
	case bson.TypeInt64:
		return Dec{coef: big.NewInt(v.Int64())}
	case bson.TypeDouble:
		return fromFloat(v.Double())
	case bson.TypeDecimal128:
		return fromDecimal128(v.Decimal128())
	default:
		return Dec{nan: true}
	}
}

func fromDecimal128(d bson.Decimal128) Dec {
	if d.IsNaN() {
		return Dec{nan: true}
	}
	if s := d.IsInf(); s != 0 {
		return Dec{inf: s}
	}
	coef, exp, err := d.BigInt()
	if err != nil {
		return Dec{nan: true}
	}
	return Dec{coef: coef, exp: exp}
}

func fromFloat(f float64) Dec {
	switch {
	case math.IsNaN(f):
		return Dec{nan: true}
	case math.IsInf(f, 0):
		return Dec{inf: sign(f)}
	}
	d, err := bson.ParseDecimal128(strconv.FormatFloat(f, 'e', 14, 64))
	if err != nil {
		return Dec{nan: true}
	}
	return fromDecimal128(d)
}

func sign(f float64) int {
	if f < 0 {
		return -1
	}
	return 1
}

// ParseDecimal reads a decimal number as $toDecimal does.
func ParseDecimal(s string) (bson.RawValue, bool) {
	d, err := bson.ParseDecimal128(s)
	if err != nil {
		return bson.RawValue{}, false
	}
	return fromDecimal128(d).Value(), true
}

// Value rounds d to a BSON decimal, half to even.
func (d Dec) Value() bson.RawValue {
	var out bson.Decimal128
	switch {
	case d.nan:
		out, _ = bson.ParseDecimal128("NaN")
	case d.inf > 0:
		out, _ = bson.ParseDecimal128("Infinity")
	case d.inf < 0:
		out, _ = bson.ParseDecimal128("-Infinity")
	default:
		r := d.round(digits)
		var ok bool
		if out, ok = bson.ParseDecimal128FromBigInt(r.coef, r.exp); !ok {
			out = overflow(r)
		}
	}
	h, l := out.GetBytes()
	return bson.RawValue{Type: bson.TypeDecimal128, Value: bsoncore.AppendDecimal128(nil, h, l)}
}

// overflow is what a finite number beyond the exponent range becomes.
func overflow(d Dec) bson.Decimal128 {
	text := "0"
	if d.exp > 0 {
		text = "Infinity"
		if d.coef.Sign() < 0 {
			text = "-Infinity"
		}
	}
	out, _ := bson.ParseDecimal128(text)
	return out
}

// round keeps at most n digits, half to even.
func (d Dec) round(n int) Dec {
	excess := len(new(big.Int).Abs(d.coef).String()) - n
	if excess <= 0 {
		return d
	}
	q := roundQuo(d.coef, pow10(excess))
	return Dec{coef: q, exp: d.exp + excess}.round(n)
}

// roundQuo divides and rounds half to even.
func roundQuo(x, y *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(x, y, new(big.Int))
	twice := new(big.Int).Abs(r)
	twice.Lsh(twice, 1)
	c := twice.Cmp(new(big.Int).Abs(y))
	if c > 0 || c == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(int64(x.Sign()*y.Sign())))
	}
	return q
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// align brings two finite numbers to one exponent.
func align(a, b Dec) (x, y *big.Int, exp int) {
	switch {
	case a.exp > b.exp:
		return new(big.Int).Mul(a.coef, pow10(a.exp-b.exp)), b.coef, b.exp
	case b.exp > a.exp:
		return a.coef, new(big.Int).Mul(b.coef, pow10(b.exp-a.exp)), a.exp
	default:
		return a.coef, b.coef, a.exp
	}
}

func (d Dec) add(o Dec) Dec {
	switch {
	case d.nan || o.nan || d.inf != 0 && o.inf != 0 && d.inf != o.inf:
		return Dec{nan: true}
	case d.inf != 0:
		return d
	case o.inf != 0:
		return o
	}
	x, y, exp := align(d, o)
	return Dec{coef: new(big.Int).Add(x, y), exp: exp}
}

func (d Dec) neg() Dec {
	if d.coef == nil {
		return Dec{nan: d.nan, inf: -d.inf}
	}
	return Dec{coef: new(big.Int).Neg(d.coef), exp: d.exp}
}

func (d Dec) sub(o Dec) Dec { return d.add(o.neg()) }

func (d Dec) mul(o Dec) Dec {
	if d.nan || o.nan {
		return Dec{nan: true}
	}
	if d.inf != 0 || o.inf != 0 {
		if s := d.sign() * o.sign(); s != 0 {
			return Dec{inf: s}
		}
		return Dec{nan: true}
	}
	return Dec{coef: new(big.Int).Mul(d.coef, o.coef), exp: d.exp + o.exp}
}

func (d Dec) quo(o Dec) Dec {
	switch {
	case d.nan || o.nan || d.inf != 0 && o.inf != 0 || d.isZero() && o.isZero():
		return Dec{nan: true}
	case d.inf != 0:
		return Dec{inf: d.inf * max(o.sign(), -1)}
	case o.inf != 0:
		return Dec{coef: new(big.Int)}
	case o.isZero():
		return Dec{inf: d.sign()}
	}
	shift := digits + 2 + len(o.coef.String())
	num := new(big.Int).Mul(d.coef, pow10(shift))
	q := Dec{coef: roundQuo(num, o.coef), exp: d.exp - o.exp - shift}
	return q.trim(d.exp - o.exp)
}

// trim drops trailing zeros until the exponent is ideal, the one an exact
// quotient has.
func (d Dec) trim(ideal int) Dec {
	ten := big.NewInt(10)
	for d.exp < ideal && d.coef.Sign() != 0 {
		q, r := new(big.Int).QuoRem(d.coef, ten, new(big.Int))
		if r.Sign() != 0 {
			break
		}
		d = Dec{coef: q, exp: d.exp + 1}
	}
	return d
}

func (d Dec) rem(o Dec) Dec {
	if d.nan || o.nan || d.inf != 0 || o.isZero() {
		return Dec{nan: true}
	}
	if o.inf != 0 {
		return d
	}
	x, y, exp := align(d, o)
	return Dec{coef: new(big.Int).Rem(x, y), exp: exp}
}

func (d Dec) sign() int {
	if d.coef == nil {
		return d.inf
	}
	return d.coef.Sign()
}

func (d Dec) isZero() bool { return d.coef != nil && d.coef.Sign() == 0 }

// cmp orders two finite numbers.
func (d Dec) cmp(o Dec) int {
	if d.coef == nil || o.coef == nil {
		return d.sign() - o.sign()
	}
	x, y, _ := align(d, o)
	return x.Cmp(y)
}

func (d Dec) float() float64 {
	switch {
	case d.nan:
		return math.NaN()
	case d.inf != 0:
		return math.Inf(d.inf)
	}
	f, err := strconv.ParseFloat(d.coef.String()+"e"+strconv.Itoa(d.exp), 64)
	if err != nil {
		return math.Inf(d.sign())
	}
	return f
}

// trunc drops the fraction; not ok beyond the range of int64.
func (d Dec) trunc() (int64, bool) {
	if d.coef == nil || d.exp > 40 {
		return 0, false
	}
	i := d.Scale(0, Down)
	return i.Int64(), i.IsInt64()
}

// Direction says how Scale treats digits it drops.
type Direction int

// The ways to round.
const (
	Down     Direction = iota // toward zero
	HalfEven                  // to the nearest, ties to even
	Floor                     // toward minus infinity
	Ceil                      // toward plus infinity
)

// Scale returns a finite d × 10^places as an integer.
func (d Dec) Scale(places int, dir Direction) *big.Int {
	e := d.exp + places
	if e >= 0 {
		return new(big.Int).Mul(d.coef, pow10(e))
	}
	div := pow10(min(-e, 7000))
	switch dir {
	case HalfEven:
		return roundQuo(d.coef, div)
	case Down:
		return new(big.Int).Quo(d.coef, div)
	default:
		q, r := new(big.Int).QuoRem(d.coef, div, new(big.Int))
		if dir == Floor && r.Sign() < 0 {
			q.Sub(q, big.NewInt(1))
		} else if dir == Ceil && r.Sign() > 0 {
			q.Add(q, big.NewInt(1))
		}
		return q
	}
}

// Round rounds to places digits after the point (before it when negative).
func (d Dec) Round(places int, dir Direction) Dec {
	if d.coef == nil || d.exp+places >= 0 {
		return d
	}
	return Dec{coef: d.Scale(places, dir), exp: -places}
}
