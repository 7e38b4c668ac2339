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
	pattern, options, err := regexSource(args)
	if err != nil {
		return nil, "", false, err
	}
	if !nullish(args["input"]) && args["input"].Type != bson.TypeString {
		return nil, "", false, mongoerr.New(51104, "input must be of type string")
	}
	if !nullish(args["regex"]) {
		flags := ""
		for _, f := range "ims" {
			if strings.ContainsRune(options, f) {
				flags += string(f)
			}
		}
		if flags != "" {
			pattern = "(?" + flags + ")" + pattern
		}
		if re, err = regexp.Compile(pattern); err != nil {
			return nil, "", false, mongoerr.New(51111, "Invalid Regex: %v", err)
		}
	}
	if nullish(args["input"]) || nullish(args["regex"]) {
		return nil, "", false, nil
	}
	return re, args["input"].StringValue(), true, nil
}

// regexSource reads the pattern and its options, which only one of the two
// operands may give.
func regexSource(args map[string]bson.RawValue) (pattern, options string, err error) {
	flags := ""
	switch re := args["regex"]; {
	case nullish(re):
	case re.Type == bson.TypeString:
		pattern = re.StringValue()
	case re.Type == bson.TypeRegex:
		pattern, flags = re.Regex()
	default:
		return "", "", mongoerr.New(51105, "regex must be of type string or regex")
	}
	if strings.ContainsRune(pattern, 0) {
		return "", "", mongoerr.New(51109, "regular expression cannot contain an embedded null byte")
	}
	o, given := args["options"]
	if !given || nullish(o) {
		return pattern, flags, nil
	}
	options, ok := o.StringValueOK()
	switch {
	case !ok:
		return "", "", mongoerr.New(51106, "options should be of type string")
	case flags != "":
		return "", "", mongoerr.New(51107, "regex option(s) specified in both 'regex' and 'option' fields")
	case strings.ContainsRune(options, 0):
		return "", "", mongoerr.New(51110, "regular expression options cannot contain an embedded null byte")
	case strings.Trim(options, "imsxu") != "":
		return "", "", mongoerr.New(51108, "invalid flag in regex options: %s", options)
	}
	return pattern, options, nil
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
	return found(in, m, utf8.RuneCountInString(in[:m[0]])), nil
}

func regexFindAll(args map[string]bson.RawValue) (bson.RawValue, error) {
	re, in, ok, err := regexArgs(args)
	if err != nil || !ok {
		return value.ArrayOf(), err
	}
	var b rawdoc.Builder
	idx, counted := 0, 0
	for _, m := range re.FindAllStringSubmatchIndex(in, -1) {
		idx += utf8.RuneCountInString(in[counted:m[0]])
		counted = m[0]
		b.Push(found(in, m, idx))
	}
	return value.Array(b.Bytes()), nil
}

// found renders one match: {match, idx in code points, captures}.
func found(in string, m []int, idx int) bson.RawValue {
	var captures rawdoc.Builder
	for i := 2; i < len(m); i += 2 {
		if m[i] < 0 {
			captures.Push(value.Null())
			continue
		}
		captures.Push(value.String(in[m[i]:m[i+1]]))
	}
	return value.Doc(value.D("match", in[m[0]:m[1]], "idx", int32(idx), "captures", value.Array(captures.Bytes())))
}
