package aggregate

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// regexArgs reads the operands of the $regex family. ok is false when the
// input or the pattern is null.
func regexArgs(args map[string]bson.RawValue) (re *regexp.Regexp, input string, ok bool, err error) {
	if nullish(args["input"]) || nullish(args["regex"]) {
		return nil, "", false, nil
	}
	input, isString := args["input"].StringValueOK()
	if !isString {
		return nil, "", false, mongoerr.New(51104, "input must be of type string")
	}
	var pattern, options string
	switch args["regex"].Type {
	case bson.TypeString:
		pattern = args["regex"].StringValue()
	case bson.TypeRegex:
		pattern, options = args["regex"].Regex()
	default:
		return nil, "", false, mongoerr.New(51105, "regex must be of type string or regex")
	}
	if o, given := args["options"].StringValueOK(); given {
		options += o
	}
	flags := ""
	for _, f := range "ims" {
		if strings.ContainsRune(options, f) {
			flags += string(f)
		}
	}
	if flags != "" {
		pattern = "(?" + flags + ")" + pattern
	}
	re, err = regexp.Compile(pattern)
	if err != nil {
		return nil, "", false, mongoerr.New(51111, "Invalid Regex: %v", err)
	}
	return re, input, true, nil
}

func regexMatch(args map[string]bson.RawValue) (bson.RawValue, error) {
	re, in, ok, err := regexArgs(args)
	if err != nil || !ok {
		return value.Bool(false), err
	}
	return value.Bool(re.MatchString(in)), nil
}

func regexFind(args map[string]bson.RawValue) (bson.RawValue, error) {
	re, in, ok, err := regexArgs(args)
	if err != nil || !ok {
		return value.Null(), err
	}
	m := re.FindStringSubmatchIndex(in)
	if m == nil {
		return value.Null(), nil
	}
	return found(in, m), nil
}

func regexFindAll(args map[string]bson.RawValue) (bson.RawValue, error) {
	re, in, ok, err := regexArgs(args)
	if err != nil || !ok {
		return value.ArrayOf(), err
	}
	var b rawdoc.Builder
	for _, m := range re.FindAllStringSubmatchIndex(in, -1) {
		b.Push(found(in, m))
	}
	return value.Array(b.Bytes()), nil
}

// found renders one match: {match, idx in code points, captures}.
func found(in string, m []int) bson.RawValue {
	var captures rawdoc.Builder
	for i := 2; i < len(m); i += 2 {
		if m[i] < 0 {
			captures.Push(value.Null())
			continue
		}
		captures.Push(value.String(in[m[i]:m[i+1]]))
	}
	return value.Doc(value.D("match", in[m[0]:m[1]], "idx", int32(utf8.RuneCountInString(in[:m[0]])), "captures", value.Array(captures.Bytes())))
}
