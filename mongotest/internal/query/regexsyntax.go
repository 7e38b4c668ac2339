package query

import "strings"

// dialect is how a pattern is to be read.
type dialect struct {
	extended bool // white space and comments have no meaning
	unicode  bool // classes such as \w go by Unicode properties
}

// goSyntax writes a pattern of the server's syntax, that of PCRE, in Go's.
func goSyntax(pattern string, extended bool) string {
	d := dialect{extended: extended}
	pattern = d.verbs(pattern)
	if rest, ok := strings.CutPrefix(pattern, "(?x)"); ok {
		pattern, d.extended = rest, true
	}
	var out strings.Builder
	class := false
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case c == '\\' && i+1 < len(pattern):
			i++
			out.WriteString(d.escape(pattern[i], class))
			continue
		case class && d.unicode && strings.HasPrefix(pattern[i:], "[:"):
			if s, n := unicodePosix(pattern[i:]); n > 0 {
				out.WriteString(s)
				i += n - 1
				continue
			}
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case d.extended && c == '#':
			if n := strings.IndexByte(pattern[i:], '\n'); n >= 0 {
				i += n
				continue
			}
			return out.String()
		case d.extended && strings.IndexByte(" \t\n\r\v\f", c) >= 0:
			continue
		}
		out.WriteByte(c)
	}
	return out.String()
}

// verbs takes the settings off the front of a pattern, such as (*UCP).
func (d *dialect) verbs(pattern string) string {
	for {
		verb, rest, ok := strings.Cut(pattern, ")")
		switch {
		case ok && verb == "(*UCP":
			d.unicode = true
		case ok && (verb == "(*UTF" || verb == "(*UTF8"): // all text is UTF-8
		default:
			return pattern
		}
		pattern = rest
	}
}

// escape writes the escape sequence of c.
func (d dialect) escape(c byte, class bool) string {
	if c == 'Z' && !class {
		return `(?:\n?\z)`
	}
	if s, ok := unicodeClasses[c]; ok && d.unicode {
		if class {
			return s
		}
		return "[" + s + "]"
	}
	return `\` + string(c)
}

var unicodeClasses = map[byte]string{'w': `\p{L}\p{N}\p{Mn}_`, 'd': `\p{Nd}`, 's': `\s\p{Z}`}

// unicodePosix writes a class such as [:alpha:] that starts s by its Unicode
// properties, and returns the length of what it replaces.
func unicodePosix(s string) (string, int) {
	for name, class := range map[string]string{
		"[:alpha:]": `\p{L}`, "[:alnum:]": `\p{L}\p{N}`, "[:digit:]": `\p{Nd}`, "[:lower:]": `\p{Ll}`, "[:upper:]": `\p{Lu}`,
	} {
		if strings.HasPrefix(s, name) {
			return class, len(name)
		}
	}
	return "", 0
}
