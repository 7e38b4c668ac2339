package text

import "strings"

// suffixes are the endings that derive a word from another one, and what
// remains of them.
var suffixes = map[string]string{
	"tional": "tion", "enci": "ence", "anci": "ance", "abli": "able", "entli": "ent", "izer": "ize", "ization": "ize",
	"ational": "ate", "ation": "ate", "ator": "ate", "alism": "al", "aliti": "al", "alli": "al", "fulness": "ful",
	"ousli": "ous", "ousness": "ous", "iveness": "ive", "iviti": "ive", "biliti": "ble", "bli": "ble", "ogi": "og",
	"fulli": "ful", "lessli": "less", "li": "",
}

// endingIn returns the longest of the endings in m that the word has.
func (s *stemmer) endingIn(m map[string]string) string {
	best := ""
	for e := range m {
		if len(e) > len(best) && strings.HasSuffix(s.word, e) {
			best = e
		}
	}
	return best
}

// derived takes one derivation back.
func (s *stemmer) derived() {
	e := s.endingIn(suffixes)
	if e == "" || !s.in(s.r1, e) {
		return
	}
	before := byte(' ')
	if n := len(s.word) - len(e); n > 0 {
		before = s.word[n-1]
	}
	if e == "ogi" && before != 'l' || e == "li" && strings.IndexByte("cdeghkmnrt", before) < 0 {
		return
	}
	s.replace(e, suffixes[e])
}

var shorter = map[string]string{
	"tional": "tion", "ational": "ate", "alize": "al", "icate": "ic", "iciti": "ic", "ical": "ic", "ful": "", "ness": "", "ative": "",
}

// shorten takes another derivation back.
func (s *stemmer) shorten() {
	e := s.endingIn(shorter)
	if e != "" && s.in(s.r1, e) && (e != "ative" || s.in(s.r2, e)) {
		s.replace(e, shorter[e])
	}
}

// drop takes a last ending off.
func (s *stemmer) drop() {
	e := s.ending("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ism", "ate", "iti",
		"ous", "ive", "ize", "ion")
	if e == "" || !s.in(s.r2, e) {
		return
	}
	if n := len(s.word) - len(e); e == "ion" && (n == 0 || s.word[n-1] != 's' && s.word[n-1] != 't') {
		return
	}
	s.replace(e, "")
}

func (s *stemmer) finalE() {
	switch e := s.ending("e", "l"); {
	case e == "e" && (s.in(s.r2, e) || s.in(s.r1, e) && !shortEnd(s.word[:len(s.word)-1])):
		s.replace(e, "")
	case e == "l" && s.in(s.r2, e) && strings.HasSuffix(s.word, "ll"):
		s.replace(e, "")
	}
}
