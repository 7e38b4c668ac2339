package query

import (
	"regexp"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// regex is a regular expression as a condition. The syntax is Go's: look-around
// and back references are refused.
type regex struct {
	pattern, options string
	re               *regexp.Regexp
}

// maxPattern is the length in bytes that no pattern may exceed.
const maxPattern = 32764

const codeBadRegex mongoerr.Code = 51091

func newRegex(pattern, options string) (*regex, error) {
	var flags strings.Builder
	extended := false
	if len(pattern) > maxPattern {
		return nil, mongoerr.New(codeBadRegex, "Regular expression is invalid: regular expression is too large")
	}
	for _, o := range options {
		switch o {
		case 'i', 'm', 's':
			flags.WriteRune(o)
		case 'u': // patterns are always UTF-8
		case 'x':
			extended = true
		default:
			return nil, mongoerr.New(51108, "invalid flag in regex options: %c", o)
		}
	}
	body := goSyntax(pattern, extended)
	if flags.Len() > 0 {
		body = "(?" + flags.String() + ")" + body
	}
	re, err := regexp.Compile(body)
	if err != nil {
		return nil, mongoerr.New(codeBadRegex, "Regular expression is invalid: %v", err)
	}
	return &regex{pattern: pattern, options: options, re: re}, nil
}

func (r *regex) matches(s string) bool { return r.re.MatchString(s) }

func (r *regex) test(v bson.RawValue) (bool, error) {
	switch v.Type {
	case bson.TypeString, bson.TypeSymbol:
		if len(v.Value) < 5 {
			return r.re.MatchString(""), nil
		}
		return r.re.Match(v.Value[4 : len(v.Value)-1]), nil
	case bson.TypeRegex:
		p, o, _ := v.RegexOK()
		return p == r.pattern && o == r.options, nil
	default:
		return false, nil
	}
}
