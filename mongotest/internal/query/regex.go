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

const codeBadRegex mongoerr.Code = 51091

func newRegex(pattern, options string) (*regex, error) {
	var flags strings.Builder
	body := pattern
	for _, o := range options {
		switch o {
		case 'i', 'm', 's':
			flags.WriteRune(o)
		case 'u': // patterns are always UTF-8
		case 'x':
			body = stripExtended(body)
		default:
			return nil, mongoerr.New(51108, "invalid flag in regex options: %c", o)
		}
	}
	if flags.Len() > 0 {
		body = "(?" + flags.String() + ")" + body
	}
	re, err := regexp.Compile(body)
	if err != nil {
		return nil, mongoerr.New(codeBadRegex, "Regular expression is invalid: %v", err)
	}
	return &regex{pattern: pattern, options: options, re: re}, nil
}

// stripExtended takes out what the option x has no meaning for: white space and
// comments outside of classes.
func stripExtended(p string) string {
	var out strings.Builder
	class, comment := false, false
	for i := 0; i < len(p); i++ {
		c := p[i]
		switch {
		case comment:
			comment = c != '\n'
			continue
		case c == '\\' && i+1 < len(p):
			out.WriteByte(c)
			i++
			out.WriteByte(p[i])
			continue
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '#':
			comment = true
			continue
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f':
			continue
		}
		out.WriteByte(c)
	}
	return out.String()
}

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
