package aggregate

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/number"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// windowFunc computes a value for each document of a partition; type 0 is no
// field.
type windowFunc func(p partition) ([]bson.RawValue, error)

// compileWindowFunc compiles a function of $setWindowFields. windowed says
// whether a window was given, which some functions refuse.
func compileWindowFunc(op string, arg bson.RawValue, windowed bool, f frame, keys []sortKey) (windowFunc, error) {
	switch op {
	case "$rank", "$denseRank", "$documentNumber":
		return compileRank(op, arg, windowed, keys)
	case "$shift":
		return compileShift(arg, windowed, keys)
	case "$expMovingAvg":
		return compileExpMovingAvg(arg, windowed, keys)
	case "$locf", "$linearFill":
		return compileWindowFill(op, arg, windowed, keys)
	case "$derivative", "$integral":
		return compileCalculus(op, arg, windowed, keys)
	case "$minMaxScaler":
		return compileMinMaxScaler(arg, keys)
	case "$mergeObjects":
		return nil, mongoerr.New(mongoerr.FailedToParse, "Unrecognized window function, %s", op)
	}
	def, ok, err := compileFrameAccumulator(op, arg, f)
	if !ok {
		return nil, mongoerr.New(mongoerr.FailedToParse, "Unrecognized window function, %s", op)
	}
	if err != nil {
		return nil, err
	}
	return overFrame(def, keys), nil
}

// compileFrameAccumulator compiles an accumulator of a window: those of $group
// and the covariances. Deviations differ in a frame that documents leave.
func compileFrameAccumulator(op string, arg bson.RawValue, f frame) (accDef, bool, error) {
	var mk func() accumulator
	switch sample := op == "$covarianceSamp" || op == "$stdDevSamp"; op {
	case "$covariancePop", "$covarianceSamp":
		mk = func() accumulator { return newCovariance(sample) }
	case "$stdDevPop", "$stdDevSamp":
		mk = func() accumulator { return &deviation{sample: sample, sliding: f.sliding()} }
	default:
		return compileAccumulator(op, arg)
	}
	fn, err := compile(arg)
	return accDef{arg: fn, make: func(evalCtx) (accumulator, error) { return mk(), nil }}, true, err
}

// sortValues computes the only sort field of each document.
func sortValues(p partition, keys []sortKey) ([]bson.RawValue, error) {
	fn, err := compilePath("$" + keys[0].path)
	if err != nil {
		return nil, err
	}
	return p.eval(fn)
}

// overFrame runs an accumulator over each frame. While frames only grow it
// goes on with the one it has.
func overFrame(def accDef, keys []sortKey) windowFunc {
	return func(p partition) ([]bson.RawValue, error) {
		vals, err := p.eval(def.arg)
		if err != nil {
			return nil, err
		}
		spans, err := p.spans(func() ([]bson.RawValue, error) { return sortValues(p, keys) })
		if err != nil {
			return nil, err
		}
		out := make([]bson.RawValue, len(vals))
		var acc accumulator
		var seen span
		for i, s := range spans {
			if acc == nil || s.from != seen.from || s.to < seen.to {
				if acc, err = def.make(evalCtx{root: value.D(), vars: p.vars}); err != nil {
					return nil, err
				}
				seen = span{s.from, s.from}
			}
			for _, v := range vals[seen.to:s.to] {
				if err := acc.add(v); err != nil {
					return nil, err
				}
			}
			seen.to = s.to
			out[i] = acc.result()
		}
		return out, nil
	}
}

func compileRank(op string, arg bson.RawValue, windowed bool, keys []sortKey) (windowFunc, error) {
	switch {
	case windowed:
		return nil, mongoerr.New(5371601, "Rank style window functions take no other arguments")
	case arg.Type != bson.TypeEmbeddedDocument || !value.IsEmpty(arg.Value):
		return nil, mongoerr.New(5371603, "%s must be specified with '{}' as the value", op)
	case len(keys) != 1:
		return nil, mongoerr.New(5371602, "%s must be specified with a top level sortBy expression with exactly one element", op)
	}
	return func(p partition) ([]bson.RawValue, error) {
		vals, err := sortValues(p, keys[:1])
		if err != nil {
			return nil, err
		}
		out := make([]bson.RawValue, len(vals))
		rank, dense := int64(0), int64(0)
		for i, v := range vals {
			if i == 0 || p.vars.compare(orNull(v), orNull(vals[i-1])) != 0 {
				rank, dense = int64(i)+1, dense+1
			}
			n := map[string]int64{"$rank": rank, "$denseRank": dense, "$documentNumber": int64(i) + 1}[op]
			out[i] = number.Integer(n, bson.TypeInt32)
		}
		return out, nil
	}, nil
}

func compileShift(arg bson.RawValue, windowed bool, keys []sortKey) (windowFunc, error) {
	raw, err := rawArgs("$shift", arg, []string{"by", "output"}, []string{"default"})
	if err != nil {
		return nil, err
	}
	if windowed || len(keys) == 0 {
		return nil, mongoerr.New(mongoerr.FailedToParse, "$shift requires a sortBy and does not accept a 'window' field")
	}
	by, ok := number.Exact(raw["by"])
	if !ok || by != int64(int32(by)) {
		return nil, mongoerr.New(mongoerr.FailedToParse, "'$shift:by' field must be an integer, but found by: %s", showMissing(raw["by"]))
	}
	output, err := compile(raw["output"])
	if err != nil {
		return nil, err
	}
	standIn := value.Null()
	if d, given := raw["default"]; given {
		fn, err := compile(d)
		if err != nil {
			return nil, err
		}
		if standIn, err = fn(evalCtx{}); err != nil {
			return nil, err
		}
	}
	return func(p partition) ([]bson.RawValue, error) {
		vals, err := p.eval(output)
		if err != nil {
			return nil, err
		}
		out := make([]bson.RawValue, len(vals))
		for i := range vals {
			out[i] = standIn
			if from := i + int(by); from >= 0 && from < len(vals) {
				out[i] = orNull(vals[from])
			}
		}
		return out, nil
	}, nil
}

func compileExpMovingAvg(arg bson.RawValue, windowed bool, keys []sortKey) (windowFunc, error) {
	if arg.Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(mongoerr.FailedToParse, "$expMovingAvg must have exactly one argument that is an object")
	}
	raw, err := rawArgs("$expMovingAvg", arg, []string{"input"}, []string{"N", "alpha"})
	if err != nil {
		return nil, err
	}
	n, hasN := raw["N"]
	alpha, hasAlpha := raw["alpha"]
	switch {
	case windowed || len(keys) == 0:
		return nil, mongoerr.New(mongoerr.FailedToParse, "$expMovingAvg requires an explicit 'sortBy' and has no 'window' field")
	case hasN == hasAlpha:
		return nil, mongoerr.New(mongoerr.FailedToParse, "$expMovingAvg requires exactly one of 'N' or 'alpha' field")
	case hasN:
		i, ok := number.Exact(n)
		if !ok || i <= 0 {
			return nil, mongoerr.New(mongoerr.FailedToParse, "'N' field must be a positive integer, but found %s", showMissing(n))
		}
		alpha = number.Div(value.Int32(2), value.Int64(i+1))
	case !number.Is(alpha) || number.Float(alpha) <= 0 || number.Float(alpha) >= 1:
		return nil, mongoerr.New(mongoerr.FailedToParse, "'alpha' must be between 0 and 1 (exclusive), found alpha: %s", showMissing(alpha))
	}
	input, err := compile(raw["input"])
	if err != nil {
		return nil, err
	}
	return func(p partition) ([]bson.RawValue, error) {
		vals, err := p.eval(input)
		if err != nil {
			return nil, err
		}
		rest, _ := number.Sub(value.Double(1), alpha)
		avg := value.Null()
		for i, v := range vals {
			switch {
			case !number.Is(v):
			case nullish(avg):
				avg, _ = number.Add(v, value.Double(0))
			default:
				a, _ := number.Mul(v, alpha)
				b, _ := number.Mul(avg, rest)
				avg, _ = number.Add(a, b)
			}
			vals[i] = avg
		}
		return vals, nil
	}, nil
}

// compileMinMaxScaler scales the values of a frame to an interval.
func compileMinMaxScaler(arg bson.RawValue, keys []sortKey) (windowFunc, error) {
	raw, err := rawArgs("$minMaxScaler", arg, []string{"input"}, []string{"min", "max"})
	if err != nil {
		return nil, err
	}
	ends := [2]float64{0, 1}
	for i, k := range []string{"min", "max"} {
		if v, given := raw[k]; given {
			ends[i] = number.Float(v)
		}
	}
	if _, given := raw["min"]; ends[0] >= ends[1] || given != (raw["max"].Type != 0) {
		return nil, mongoerr.New(mongoerr.FailedToParse, "$minMaxScaler needs both 'min' and 'max' or neither, 'min' less than 'max'")
	}
	input, err := compile(raw["input"])
	if err != nil {
		return nil, err
	}
	least, most := &extremeAcc{dir: -1}, &extremeAcc{dir: 1}
	of := func(acc extremeAcc) windowFunc {
		return overFrame(accDef{arg: input, make: func(evalCtx) (accumulator, error) { return &acc, nil }}, keys)
	}
	return func(p partition) ([]bson.RawValue, error) {
		vals, err := p.eval(input)
		if err != nil {
			return nil, err
		}
		los, err := of(*least)(p)
		if err != nil {
			return nil, err
		}
		his, err := of(*most)(p)
		if err != nil {
			return nil, err
		}
		for i, v := range vals {
			if !number.Is(v) {
				return nil, mongoerr.New(10487000, "'input' argument to $minMaxScaler must evaluate to a numeric type, got: %s", typeName(v))
			}
			lo, width := number.Float(los[i]), number.Float(his[i])-number.Float(los[i])
			scaled := ends[0]
			if width != 0 {
				scaled += (number.Float(v) - lo) / width * (ends[1] - ends[0])
			}
			vals[i] = value.Double(scaled)
		}
		return vals, nil
	}, nil
}

// millis of a unit for rates; only units of fixed length have one.
func unitMillis(unit string) (float64, bool) {
	d, ok := fixedUnits[unit]
	return float64(d) / float64(time.Millisecond), ok
}
