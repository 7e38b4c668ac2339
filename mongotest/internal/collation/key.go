package collation

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// A comparison key is the levels one after the other. separator is lower than
// every byte of a weight, so that the shorter of two levels comes first. No byte
// before the identical level is 0, which index keys would have to escape.
const (
	separator = 0x01
	firstByte = 0x02
	radix     = 0x100 - firstByte
)

// append appends the comparison key of s to dst.
func (c *Collation) append(w *weigher, dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, string(utf8.RuneError))
	}
	o := &c.spec
	whole := s
	if o.alternate == "shifted" {
		s = w.withoutVariables(s, o.maxVariable == "punct")
	}
	l := &w.levels
	c.weigh(w, l, s)
	dst = append(dst, l.primary...)
	if o.strength >= 2 {
		dst = appendSecondary(append(dst, separator), l.secondary, o.backwards)
	}
	if o.caseLevel {
		cases := l.tertiary
		if l.letters != len(cases) {
			cases = c.cases(w, s)
		}
		dst = append(dst, separator)
		for _, t := range cases {
			dst = append(dst, firstByte+caseRank(t, o.caseFirst))
		}
	}
	if o.strength >= 3 {
		dst = append(dst, separator)
		for _, t := range l.tertiary {
			if o.caseFirst != "off" {
				t |= caseRank(t, o.caseFirst) << 6
			}
			dst = append(dst, firstByte+t)
		}
	}
	if o.strength >= 4 {
		dst = c.appendQuaternary(w, append(dst, separator), whole)
	}
	if o.strength >= 5 {
		dst = norm.NFD.AppendString(append(dst, separator), whole)
	}
	w.out = dst[:0]
	return dst
}

// weigh makes l the weights of s.
func (c *Collation) weigh(w *weigher, l *weights, s string) {
	l.reset()
	if !c.spec.numericOrdering {
		w.add(l, s)
		return
	}
	for len(s) > 0 {
		n := strings.IndexFunc(s, unicode.IsDigit)
		if n != 0 {
			if n < 0 {
				n = len(s)
			}
			w.add(l, s[:n])
			s = s[n:]
			continue
		}
		n = digits(s)
		w.addNumber(l, s[:n])
		s = s[n:]
	}
}

// digits returns the length of the digits that s begins with.
func digits(s string) int {
	if n := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsDigit(r) }); n >= 0 {
		return n
	}
	return len(s)
}

// maxSegment is how many digits ICU takes for one number.
const maxSegment = 254

// addNumber appends the weights of a run of digits. It counts as one number, or
// as several if it is long.
func (w *weigher) addNumber(l *weights, digits string) {
	var plain []byte
	for _, r := range digits {
		plain = append(plain, '0'+digitOf(r))
	}
	for len(plain) > 0 {
		for len(plain) > 1 && plain[0] == '0' {
			plain = plain[1:]
		}
		n := min(len(plain), maxSegment)
		w.addSegment(l, plain[:n])
		plain = plain[n:]
	}
}

// addSegment appends the weights of a number: as one character, whose primary
// weight is that of 0 followed by the number of digits and the digits.
func (w *weigher) addSegment(l *weights, digits []byte) {
	l.primary = append(appendPrimary(l.primary, w.zero), byte(len(digits)-1)+firstByte)
	l.primary = append(l.primary, digits...)
	l.letters++
	l.secondary = append(l.secondary, commonSecondary)
	l.tertiary = append(l.tertiary, commonTertiary)
}

// The weights of characters without marks and case.
const (
	commonSecondary = 0x20
	commonTertiary  = 0x02
)

// digitOf returns the value of a decimal digit: they stand in rows of ten.
func digitOf(r rune) byte {
	for _, t := range unicode.Nd.R16 {
		if r >= rune(t.Lo) && r <= rune(t.Hi) {
			return byte((r - rune(t.Lo)) % 10)
		}
	}
	for _, t := range unicode.Nd.R32 {
		if r >= rune(t.Lo) && r <= rune(t.Hi) {
			return byte((r - rune(t.Lo)) % 10)
		}
	}
	return 0
}

// caseRank orders small letters before capitals, or the other way round.
func caseRank(t byte, caseFirst string) byte {
	if isUpper(t) != (caseFirst == "upper") {
		return 2
	}
	return 1
}

// appendPrimary encodes a weight of up to 22 bits in two or three bytes.
func appendPrimary(dst []byte, p int) []byte {
	if p < 0x8000 {
		return append(dst, byte(p/radix)+firstByte, byte(p%radix)+firstByte)
	}
	return append(dst, byte(p/radix/radix)+0x90, byte(p/radix%radix)+firstByte, byte(p%radix)+firstByte)
}

// appendSecondary encodes weights of up to 12 bits in one or two bytes.
func appendSecondary(dst []byte, weights []int, backwards bool) []byte {
	for i := range weights {
		s := weights[i]
		if backwards {
			s = weights[len(weights)-1-i]
		}
		if s < 0x70 {
			dst = append(dst, byte(s)+firstByte)
		} else {
			dst = append(dst, byte(s/radix)+0x80, byte(s%radix)+firstByte)
		}
	}
	return dst
}

// appendQuaternary appends the fourth level: with alternate: shifted the
// variable characters, which have no weight on the other levels, among the
// others; in Japanese, hiragana before katakana.
func (c *Collation) appendQuaternary(w *weigher, dst []byte, s string) []byte {
	shifted, punct := c.spec.alternate == "shifted", c.spec.maxVariable == "punct"
	japanese := strings.HasPrefix(c.spec.locale, "ja")
	if !shifted && !japanese {
		return dst
	}
	for _, r := range norm.NFD.String(s) {
		switch {
		case unicode.Is(unicode.Mn, r), r >= utf8.RuneSelf && w.primaryOf(r) == 0: // no character of its own
		case shifted && w.variable(r, punct):
			dst = appendPrimary(dst, w.primaryOf(r))
		case japanese && unicode.Is(unicode.Hiragana, r):
			dst = append(dst, 0xfe)
		default:
			dst = append(dst, 0xff)
		}
	}
	return dst
}
