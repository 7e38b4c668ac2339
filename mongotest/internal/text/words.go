package text

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Language says how words are reduced.
type Language int

// The languages.
const (
	English Language = iota
	None
)

// LanguageOf returns the language of a name or code.
func LanguageOf(name string) (l Language, ok bool) {
	switch strings.ToLower(name) {
	case "english", "en":
		return English, true
	case "none":
		return None, true
	default:
		return 0, false
	}
}

// stopWords are the English words that say nothing about a text.
var stopWords = func() map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(`a an the this that these those
		i me my myself we us our ours ourselves you your yours yourself yourselves he him his himself she her hers herself
		it its itself they them their theirs themselves who whom whose which what
		am is are was were be been being have has had having do does did doing would should could ought can cannot
		will shall may might must not no nor and or but if then else because as until while of at by for with about against
		between into through during before after above below to from up down in out on off over under again further once
		here there when where why how all any both each few more most other some such only own same so than too very
		i'm you're he's she's it's we're they're i've you've we've they've i'd you'd he'd she'd we'd they'd
		i'll you'll he'll she'll we'll they'll isn't aren't wasn't weren't hasn't haven't hadn't doesn't don't didn't
		won't wouldn't shan't shouldn't can't couldn't mustn't let's that's who's what's here's there's when's where's why's how's`) {
		m[w] = true
	}
	return m
}()

// fold says which differences between letters count.
type fold struct{ cases, diacritics bool }

// apply returns a text without the differences that do not count.
func (f fold) apply(s string) string {
	if !f.cases {
		s = strings.ToLower(s)
	}
	if f.diacritics {
		return s
	}
	plain := strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFD.String(s))
	return norm.NFC.String(plain)
}

// isDelimiter reports whether a character stands between words.
func (l Language) isDelimiter(r rune) bool {
	if r == '\'' {
		return l != English
	}
	return r != '_' && !unicode.In(r, unicode.L, unicode.N, unicode.M)
}

// words cuts a text into words.
func (l Language) words(s string) []string { return strings.FieldsFunc(s, l.isDelimiter) }

// term returns what a word counts as; not ok if it is a stop word.
func (l Language) term(word string, f fold) (t string, ok bool) {
	if l == English && stopWords[strings.ToLower(word)] {
		return "", false
	}
	t = f.apply(word)
	if l == English {
		t = stem(t)
	}
	return t, t != ""
}
