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
	coef  *big.Int // nil for the special values
	exp   int
	inf   int // +1, -1
	nan   bool
	minus bool // of zero, whose coefficient cannot tell
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
		return fromFloat(v.Double(), 15)
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
	high, _ := d.GetBytes()
	return Dec{coef: coef, exp: exp, minus: coef.Sign() == 0 && high>>63 == 1}
}

// Precise converts like Decimal but keeps all that a double holds, as rounding
// to decimal places needs it.
func Precise(v bson.RawValue) Dec {
	if v.Type == bson.TypeDouble {
		return fromFloat(v.Double(), digits)
	}
	return Decimal(v)
}

func fromFloat(f float64, precision int) Dec {
	switch {
	case math.IsNaN(f):
		return Dec{nan: true}
	case math.IsInf(f, 0):
		return Dec{inf: sign(f)}
	}
	d, err := bson.ParseDecimal128(strconv.FormatFloat(f, 'e', precision-1, 64))
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

// The exponents a decimal128 may have.
const (
	minExp = -6176
	maxExp = 6111
)

// Value rounds d to a BSON decimal, half to even.
func (d Dec) Value() bson.RawValue {
	var out bson.Decimal128
	switch {
	case d.nan:
		out, _ = bson.ParseDecimal128("NaN")
	case d.inf == 0:
		out = d.finite()
	}
	if d.inf != 0 {
		out = infinity(d.inf)
	}
	h, l := out.GetBytes()
	return bson.RawValue{Type: bson.TypeDecimal128, Value: bsoncore.AppendDecimal128(nil, h, l)}
}

func infinity(sign int) bson.Decimal128 {
	text := "Infinity"
	if sign < 0 {
		text = "-Infinity"
	}
	out, _ := bson.ParseDecimal128(text)
	return out
}

// finite fits coefficient and exponent into the format: what is too small
// loses digits, what is too large becomes infinite.
func (d Dec) finite() bson.Decimal128 {
	r := d.round(digits)
	if r.exp < minExp {
		q := roundQuo(r.coef, pow10(min(minExp-r.exp, 2*digits)))
		r = Dec{coef: q, exp: minExp, minus: d.Negative()}
	}
	if r.coef.Sign() == 0 {
		text := "0e"
		if d.Negative() {
			text = "-0e"
		}
		out, _ := bson.ParseDecimal128(text + strconv.Itoa(min(r.exp, maxExp)))
		return out
	}
	out, ok := bson.ParseDecimal128FromBigInt(r.coef, r.exp)
	if !ok {
		return infinity(r.coef.Sign())
	}
	return out
}

// Negative reports the sign, which zero has too.
func (d Dec) Negative() bool { return d.minus || d.sign() < 0 }

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
	return Dec{coef: new(big.Int).Add(x, y), exp: exp, minus: d.isZero() && d.minus && o.isZero() && o.minus}
}

func (d Dec) neg() Dec {
	if d.coef == nil {
		return Dec{nan: d.nan, inf: -d.inf}
	}
	return Dec{coef: new(big.Int).Neg(d.coef), exp: d.exp, minus: d.isZero() && !d.minus}
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
	return Dec{coef: new(big.Int).Mul(d.coef, o.coef), exp: d.exp + o.exp}.signed(d.Negative() != o.Negative())
}

// signed gives a zero the sign.
func (d Dec) signed(minus bool) Dec {
	d.minus = minus && d.isZero()
	return d
}

func (d Dec) quo(o Dec) Dec {
	switch {
	case d.nan || o.nan || d.inf != 0 && o.inf != 0 || d.isZero() && o.isZero():
		return Dec{nan: true}
	case d.inf != 0:
		return Dec{inf: d.inf * max(o.sign(), -1)}
	case o.inf != 0:
		return Dec{coef: new(big.Int), exp: minExp}.signed(d.Negative() != (o.inf < 0))
	case o.isZero():
		return Dec{inf: d.sign()}
	}
	shift := digits + 2 + len(o.coef.String())
	num := new(big.Int).Mul(d.coef, pow10(shift))
	if d.isZero() {
		return Dec{coef: new(big.Int), exp: d.exp - o.exp}.signed(d.Negative() != o.Negative())
	}
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
	return Dec{coef: new(big.Int).Rem(x, y), exp: exp}.signed(d.Negative())
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
	HalfUp                    // to the nearest, ties away from zero
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
	case HalfUp:
		half := new(big.Int).Mul(new(big.Int).Quo(div, big.NewInt(2)), big.NewInt(int64(d.sign())))
		return new(big.Int).Quo(half.Add(half, d.coef), div)
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

// Quantize gives d exactly places digits after the point (before it when
// negative), zeros if need be. What has no such form in the precision of a
// decimal128 becomes NaN.
func (d Dec) Quantize(places int, dir Direction) Dec {
	if d.coef == nil {
		return Dec{nan: true}
	}
	if d.coef.Sign() != 0 && d.exp+places > digits {
		return Dec{nan: true}
	}
	q := Dec{coef: d.Scale(places, dir), exp: -places}.signed(d.Negative())
	if len(new(big.Int).Abs(q.coef).String()) > digits {
		return Dec{nan: true}
	}
	return q
}

// IsFinite reports whether d is neither infinite nor NaN.
func (d Dec) IsFinite() bool { return d.coef != nil }

// IsNaN reports whether d is not a number.
func (d Dec) IsNaN() bool { return d.nan }
