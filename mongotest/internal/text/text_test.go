package text

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestStems(t *testing.T) {
	for word, want := range map[string]string{
		"running": "run", "run": "run", "blueberries": "blueberri", "blueberry": "blueberri", "coffee": "coffe",
		"generate": "generat", "generously": "generous", "national": "nation", "hopefulness": "hope", "caresses": "caress",
		"ties": "tie", "cries": "cri", "hoping": "hope", "happy": "happi", "relational": "relat",
		"adjustment": "adjust", "controlling": "control", "skies": "sky", "news": "news", "boy's": "boy", "by": "by",
		"conditional": "condit", "rational": "ration", "feed": "feed", "gas": "gas", "gaps": "gap", "yelling": "yell",
	} {
		assert.Equal(t, want, stem(word), word)
	}
}

func TestSearches(t *testing.T) {
	for _, tt := range []struct {
		search  string
		o       Options
		yes, no []string
	}{
		{"coffee tea", Options{}, []string{"Coffee!", "some TEA", "hot caf\u00e9 coffee"}, []string{"water", "tealess"}},
		{"the", Options{}, nil, []string{"the fox"}},
		{"the", Options{Language: None}, []string{"the fox"}, []string{"fox"}},
		{"running", Options{}, []string{"I run"}, []string{"swim"}},
		{"running", Options{Language: None}, []string{"running"}, []string{"I run"}},
		{"fox -brown", Options{}, []string{"red fox"}, []string{"brown fox"}},
		{"-fox", Options{}, nil, []string{"dog"}},
		{"well-known", Options{}, []string{"well done"}, []string{"done"}},
		{`"brown fox" quick`, Options{}, []string{"a Brown fox jumps"}, []string{"quick rabbit", "brown quick fox"}},
		{`fox -"brown fox"`, Options{}, []string{"red fox"}, []string{"brown fox"}},
		{"cafe", Options{}, []string{"Caf\u00e9"}, nil},
		{"caf\u00e9", Options{DiacriticSensitive: true}, []string{"Caf\u00e9"}, []string{"cafe"}},
		{"Cafe", Options{CaseSensitive: true}, []string{"Caf\u00e9"}, []string{"cafe"}},
		{"", Options{}, nil, []string{"x"}},
	} {
		s := Parse(tt.search, tt.o)
		for _, text := range tt.yes {
			_, ok := s.Score([]Field{{Text: text, Weight: 1}}, tt.o.Language)
			assert.True(t, ok, "%q in %q", tt.search, text)
		}
		for _, text := range tt.no {
			_, ok := s.Score([]Field{{Text: text, Weight: 1}}, tt.o.Language)
			assert.False(t, ok, "%q in %q", tt.search, text)
		}
	}
}

func TestScores(t *testing.T) {
	s := Parse("apple", Options{})
	score := func(fields ...Field) float64 {
		got, _ := s.Score(fields, English)
		return got
	}
	assert.InDelta(t, 1.0, score(Field{"apples", 1}), 1e-9, "one word that is all there is")
	assert.InDelta(t, 0.75, score(Field{"apple pie", 1}), 1e-9, "half of the text")
	assert.InDelta(t, 7.5, score(Field{"apple pie", 10}), 1e-9, "by the field's weight")
	assert.InDelta(t, 1.5, score(Field{"apple apple", 1}), 1e-9, "a repetition counts half")
	assert.InDelta(t, 1.75, score(Field{"apples", 1}, Field{"apple pie", 1}), 1e-9, "fields add up")
}
