package text

import "strings"

// irregular are the words whose stem no rule finds, and those that stay.
var irregular = map[string]string{
	"skis": "ski", "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "idly": "idl", "gently": "gentl",
	"ugly": "ugli", "early": "earli", "only": "onli", "singly": "singl",
	"sky": "sky", "news": "news", "howe": "howe", "atlas": "atlas", "cosmos": "cosmos", "bias": "bias", "andes": "andes",
}

// finished are the words that stay as they are once a plural s is gone.
var finished = map[string]bool{
	"inning": true, "outing": true, "canning": true, "herring": true, "earring": true,
	"proceed": true, "exceed": true, "succeed": true,
}

// stemmer reduces one English word by the rules of Porter's second algorithm.
// r1 and r2 are where the regions begin in which endings may be changed.
type stemmer struct {
	word   string
	r1, r2 int
}

// stem returns the stem of a word in lower case.
func stem(word string) string {
	word = strings.TrimPrefix(word, "'")
	if len(word) <= 2 {
		return word
	}
	if s, ok := irregular[word]; ok {
		return s
	}
	s := &stemmer{word: markConsonantY(word)}
	s.regions()
	s.possessive()
	s.plural()
	if finished[s.word] {
		return s.word
	}
	s.past()
	s.finalY()
	s.derived()
	s.shorten()
	s.drop()
	s.finalE()
	return strings.ReplaceAll(s.word, "Y", "y")
}

// markConsonantY writes each y that is a consonant as Y.
func markConsonantY(word string) string {
	b := []byte(word)
	for i, c := range b {
		if c == 'y' && (i == 0 || isVowel(b[i-1])) {
			b[i] = 'Y'
		}
	}
	return string(b)
}

func isVowel(c byte) bool { return strings.IndexByte("aeiouy", c) >= 0 }

func hasVowel(s string) bool { return strings.ContainsAny(s, "aeiouy") }

// after returns where the region begins that follows the first consonant after
// a vowel.
func after(word string, from int) int {
	for i := from + 1; i < len(word); i++ {
		if !isVowel(word[i]) && isVowel(word[i-1]) {
			return i + 1
		}
	}
	return len(word)
}

func (s *stemmer) regions() {
	s.r1 = after(s.word, 0)
	for _, prefix := range []string{"gener", "commun", "arsen"} {
		if strings.HasPrefix(s.word, prefix) {
			s.r1 = len(prefix)
		}
	}
	s.r2 = after(s.word, s.r1)
}

// ending returns the longest of the endings that the word has.
func (s *stemmer) ending(endings ...string) string {
	best := ""
	for _, e := range endings {
		if len(e) > len(best) && strings.HasSuffix(s.word, e) {
			best = e
		}
	}
	return best
}

func (s *stemmer) replace(ending, by string) { s.word = s.word[:len(s.word)-len(ending)] + by }

func (s *stemmer) in(region int, ending string) bool { return len(s.word)-len(ending) >= region }

func (s *stemmer) possessive() { s.replace(s.ending("'s'", "'s", "'"), "") }

func (s *stemmer) plural() {
	switch e := s.ending("sses", "ied", "ies", "us", "ss", "s"); e {
	case "sses":
		s.replace(e, "ss")
	case "ied", "ies":
		if len(s.word) > 4 {
			s.replace(e, "i")
		} else {
			s.replace(e, "ie")
		}
	case "s":
		if hasVowel(s.word[:len(s.word)-2]) {
			s.replace(e, "")
		}
	}
}

func (s *stemmer) past() {
	switch e := s.ending("eed", "eedly", "ed", "edly", "ing", "ingly"); e {
	case "":
	case "eed", "eedly":
		if s.in(s.r1, e) {
			s.replace(e, "ee")
		}
	default:
		if !hasVowel(s.word[:len(s.word)-len(e)]) {
			return
		}
		s.replace(e, "")
		switch {
		case s.ending("at", "bl", "iz") != "":
			s.word += "e"
		case s.ending("bb", "dd", "ff", "gg", "mm", "nn", "pp", "rr", "tt") != "":
			s.word = s.word[:len(s.word)-1]
		case s.r1 >= len(s.word) && shortEnd(s.word):
			s.word += "e"
		}
	}
}

// shortEnd reports whether a word ends in a short syllable.
func shortEnd(w string) bool {
	n := len(w)
	switch {
	case n == 2:
		return isVowel(w[0]) && !isVowel(w[1])
	case n < 2:
		return false
	default:
		return !isVowel(w[n-1]) && strings.IndexByte("wxY", w[n-1]) < 0 && isVowel(w[n-2]) && !isVowel(w[n-3])
	}
}

func (s *stemmer) finalY() {
	n := len(s.word)
	if n > 2 && (s.word[n-1] == 'y' || s.word[n-1] == 'Y') && !isVowel(s.word[n-2]) {
		s.word = s.word[:n-1] + "i"
	}
}
