package collation

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/collate"
	textlang "golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"
)

// A weigher asks x/text for the weights of strings. It is not safe for
// concurrent use.
type weigher struct {
	collator *collate.Collator
	buf      collate.Buffer
	order    scriptOrder
	varTop   int // the greatest primary weight of white space and punctuation
	zero     int // the primary weight of the digit 0
	levels   weights
	out      []byte
}

// weights are those of a string on three levels. A character without a weight on
// a level has none there.
type weights struct {
	primary   []byte // encoded
	letters   int    // how many primary weights there are
	secondary []int
	tertiary  []byte
}

func newWeigher(l language) *weigher {
	w := &weigher{collator: collate.New(textlang.MustParse(l.table))}
	w.varTop = w.primaryOf('`') - 1 // the first of the symbols, which follow
	w.zero = w.primaryOf('0')
	w.order = w.orderOf(l.scripts)
	return w
}

func (l *weights) reset() {
	l.primary, l.letters, l.secondary, l.tertiary = l.primary[:0], 0, l.secondary[:0], l.tertiary[:0]
}

// add appends the weights of s to l. A key of x/text is the primary weights, two
// bytes each or three that begin with a bit, two zeros, the secondary weights,
// two bytes each, two zeros, and the tertiary weights of one byte.
func (w *weigher) add(l *weights, s string) {
	w.buf.Reset()
	k := w.collator.KeyFromString(&w.buf, s)
	for len(k) >= 2 && (k[0] != 0 || k[1] != 0) {
		p := int(k[0])<<8 | int(k[1])
		k = k[2:]
		if p >= 0x8000 {
			p = (p&0x7fff)<<8 | int(k[0])
			k = k[1:]
		}
		l.primary = appendPrimary(l.primary, w.order.place(p))
		l.letters++
	}
	k = k[2:]
	for len(k) >= 2 && (k[0] != 0 || k[1] != 0) {
		l.secondary = append(l.secondary, int(k[0])<<8|int(k[1]))
		k = k[2:]
	}
	l.tertiary = append(l.tertiary, k[2:]...)
}

// primaryOf returns the first primary weight of a character, 0 for none, before
// scripts are moved.
func (w *weigher) primaryOf(r rune) int {
	w.buf.Reset()
	k := w.collator.KeyFromString(&w.buf, string(r))
	p := int(k[0])<<8 | int(k[1])
	if p >= 0x8000 {
		p = (p&0x7fff)<<8 | int(k[2])
	}
	return p
}

// variable reports whether r is white space, or punctuation if that is variable
// too.
func (w *weigher) variable(r rune, punct bool) bool {
	if !punct { // the server takes the no-break space for punctuation
		return (unicode.IsSpace(r) || unicode.Is(unicode.Z, r)) && r != '\u00a0'
	}
	if r < utf8.RuneSelf && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
		return false
	}
	p := w.primaryOf(r)
	return p > 0 && p <= w.varTop
}

// withoutVariables leaves out the variable characters and the marks on them,
// which is what alternate: shifted means on the first three levels.
func (w *weigher) withoutVariables(s string, punct bool) string {
	var b strings.Builder
	dropped := false
	for _, r := range norm.NFD.String(s) {
		if w.variable(r, punct) {
			dropped = true
			continue
		}
		if dropped && unicode.Is(unicode.Mn, r) {
			continue
		}
		dropped = false
		b.WriteRune(r)
	}
	return b.String()
}

// cases returns the tertiary weights of the characters of s that have a primary
// weight: marks have no case. Character by character, each with its marks, the
// weights of marks come last.
func (c *Collation) cases(w *weigher, s string) []byte {
	var l weights
	var out []byte
	for rest := norm.NFD.String(s); rest != ""; {
		n := norm.NFD.NextBoundaryInString(rest, true)
		if c.spec.numericOrdering {
			n = max(n, digits(rest))
		}
		l.reset()
		c.weigh(w, &l, rest[:n])
		out = append(out, l.tertiary[:l.letters]...)
		rest = rest[n:]
	}
	return out
}

// isUpper reports whether a tertiary weight of the CLDR root is that of a
// capital letter, or of a kana that is not small.
func isUpper(t byte) bool {
	switch t {
	case 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0e, 0x11, 0x12, 0x1d:
		return true
	}
	return false
}
