package text

import (
	"strings"
	"unicode"
)

// Search is a parsed search string. It is immutable.
type Search struct {
	language Language
	fold     fold
	terms    map[string]bool // at least one of them must be there
	plain    map[string]bool // the same without case and diacritics, which the score goes by
	unwanted map[string]bool
	phrases  []string // all of them must be there
	banned   []string
}

// Options says how a search is meant.
type Options struct {
	Language           Language
	CaseSensitive      bool
	DiacriticSensitive bool
}

// Parse reads a search: words, "phrases", and either of them with a minus in
// front for what must not be there.
func Parse(search string, o Options) *Search {
	s := &Search{
		language: o.Language, fold: fold{cases: o.CaseSensitive, diacritics: o.DiacriticSensitive},
		terms: map[string]bool{}, plain: map[string]bool{}, unwanted: map[string]bool{},
	}
	before := ""
	for i, part := range strings.Split(search, `"`) {
		if i%2 == 0 {
			s.addWords(part)
			before = part
			continue
		}
		if phrase := s.fold.apply(part); endsInMinus(before) {
			s.banned = append(s.banned, phrase)
		} else if strings.TrimSpace(phrase) != "" {
			s.phrases = append(s.phrases, phrase)
			s.addWords(part)
		}
	}
	return s
}

// endsInMinus reports whether a text ends in a minus that no word stands before.
func endsInMinus(s string) bool {
	rest, ok := strings.CutSuffix(s, "-")
	return ok && (rest == "" || unicode.IsSpace(rune(rest[len(rest)-1])))
}

func (s *Search) addWords(part string) {
	for _, field := range strings.Fields(part) {
		rest, negated := strings.CutPrefix(field, "-")
		for _, w := range s.language.words(rest) {
			t, ok := s.language.term(w, s.fold)
			switch {
			case !ok:
			case negated:
				s.unwanted[t] = true
			default:
				s.terms[t] = true
				plain, _ := s.language.term(w, fold{})
				s.plain[plain] = true
			}
		}
	}
}

// Field is one indexed text of a document with its weight.
type Field struct {
	Text   string
	Weight float64
}

// Score returns how well texts in a language fit the search; not ok if they do
// not.
func (s *Search) Score(fields []Field, l Language) (score float64, ok bool) {
	found := false
	phrases := make([]bool, len(s.phrases))
	for _, f := range fields {
		for _, w := range l.words(f.Text) {
			t, isTerm := l.term(w, s.fold)
			if isTerm && s.unwanted[t] {
				return 0, false
			}
			found = found || isTerm && s.terms[t]
		}
		folded := s.fold.apply(f.Text)
		for _, p := range s.banned {
			if strings.Contains(folded, p) {
				return 0, false
			}
		}
		for i, p := range s.phrases {
			phrases[i] = phrases[i] || strings.Contains(folded, p)
		}
		score += s.fieldScore(f, l)
	}
	for _, there := range phrases {
		found = found && there
	}
	return score, found
}

// fieldScore is the server's measure: the first time that a word occurs counts
// most, and more so if it makes up much of the text, or all of it.
func (s *Search) fieldScore(f Field, l Language) float64 {
	counts, total := map[string]int{}, 0
	for _, w := range l.words(f.Text) {
		if t, ok := l.term(w, fold{}); ok {
			counts[t]++
			total++
		}
	}
	score := 0.0
	for t, n := range counts {
		if !s.plain[t] {
			continue
		}
		frequency, step := 0.0, 1.0
		for range n {
			frequency += step
			step /= 2
		}
		share := 0.5*float64(n)/float64(total) + 0.5
		whole := 1.0
		if strings.EqualFold(f.Text, t) {
			whole = 1.1
		}
		score += f.Weight * frequency * share * whole
	}
	return score
}
