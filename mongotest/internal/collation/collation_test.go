package collation

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

func must(t testing.TB, pairs ...any) *Collation {
	t.Helper()
	c, err := Parse(value.D(pairs...))
	require.NoError(t, err)
	return c
}

// sorted sorts words, and joins those that are equal with "=".
func sorted(c *Collation, words string) string {
	list := strings.Split(words, " ")
	compare := func(a, b string) int { return c.Compare(value.String(a), value.String(b)) }
	slices.SortStableFunc(list, compare)
	out := list[0]
	for i, w := range list[1:] {
		sep := " "
		if compare(list[i], w) == 0 {
			sep = "="
		}
		out += sep + w
	}
	return out
}

// What is expected here ICU 78 gives as well.
func TestOrder(t *testing.T) {
	en := func(pairs ...any) []any { return append([]any{"locale", "en"}, pairs...) }
	for name, c := range map[string]struct {
		spec  []any
		words string
		want  string
	}{
		"letters alone":                {en("strength", 1), "b A á a", "A=á=a b"},
		"letters and accents":          {en("strength", 2), "b á A a", "A=a á b"},
		"case too":                     {en(), "b á A a", "a A á b"},
		"accents before case":          {en(), "Cote côte cote", "cote Cote côte"},
		"letters and case":             {en("strength", 1, "caseLevel", true), "É e E é", "e=é É=E"},
		"case before the third level":  {en("caseLevel", true), "Ａ a ａ A", "a ａ A Ａ"},
		"capitals first":               {en("caseFirst", "upper"), "b á a A", "A a á b"},
		"capitals first, case level":   {en("strength", 1, "caseLevel", true, "caseFirst", "upper"), "é e E", "E é=e"},
		"decomposed is equal":          {en(), "é e\u0301", "é=e\u0301"},
		"text as text":                 {en(), "a10 a9 a01 a1", "a01 a1 a10 a9"},
		"numbers by value":             {en("numericOrdering", true), "a10 a9 a010 b1 a", "a a9 a10=a010 b1"},
		"digits of any script":         {en("numericOrdering", true), "x10 x٩", "x٩ x10"},
		"long numbers":                 {en("numericOrdering", true), "1" + strings.Repeat("0", 253) + " " + strings.Repeat("9", 253), strings.Repeat("9", 253) + " 1" + strings.Repeat("0", 253)},
		"too long for one number":      {en("numericOrdering", true), strings.Repeat("9", 254) + " " + strings.Repeat("1", 255), strings.Repeat("1", 255) + " " + strings.Repeat("9", 254)},
		"what has no weight":           {en("strength", 4, "alternate", "shifted"), "ab a\u200bb", "ab=a\u200bb"},
		"punctuation counts":           {en(), "ab a-b a$b", "a-b a$b ab"},
		"punctuation is passed over":   {en("alternate", "shifted"), "ab a-b a$b", "a$b ab=a-b"},
		"but for the fourth level":     {en("alternate", "shifted", "strength", 4), "ab a-b a_b", "a_b a-b ab"},
		"white space only":             {en("alternate", "shifted", "maxVariable", "space"), "ab a-b a\u2003b a\u00a0b", "a\u00a0b a-b ab=a\u2003b"},
		"the fifth level":              {en("strength", 5), "a\u0001b ab", "a\u0001b ab"},
		"no fifth level":               {en("strength", 4), "a\u0001b ab", "a\u0001b=ab"},
		"accents from the front":       {[]any{"locale", "fr"}, "cote côte coté côté", "cote coté côte côté"},
		"accents from behind":          {[]any{"locale", "fr_CA"}, "cote coté côte côté", "cote côte coté côté"},
		"Swedish letters after z":      {[]any{"locale", "sv"}, "ö z ä å a", "a z å ä ö"},
		"German telephone books":       {[]any{"locale", "de@collation=phonebook"}, "Ärger Ad Af", "Ad Ärger Af"},
		"Turkish dots":                 {[]any{"locale", "tr", "strength", 1}, "i I İ ı", "I=ı i=İ"},
		"kana are equal in Japanese":   {[]any{"locale", "ja"}, "ア あ", "ア=あ"},
		"but for the fourth, Japanese": {[]any{"locale", "ja", "strength", 4}, "ア あ", "あ ア"},
		"Russian letters first":        {[]any{"locale", "ru"}, "z я a б α", "б я a z α"},
		"English letters first":        {en(), "я a б α", "a α б я"},
		"Croatian digraphs":            {[]any{"locale", "hr"}, "d dž dz đ", "d dz dž đ"},
	} {
		assert.Equal(t, c.want, sorted(must(t, c.spec...), c.words), name)
	}
}

func TestValues(t *testing.T) {
	c := must(t, "locale", "en", "strength", 2)
	for name, pair := range map[string][2]any{
		"strings":             {"a", "A"},
		"inside documents":    {value.D("x", "a", "y", value.A("b")), value.D("x", "A", "y", value.A("B"))},
		"inside arrays":       {value.A("a", 1), value.A("A", int64(1))},
		"numbers as before":   {1, 1.0},
		"malformed as U+FFFD": {"a\xff", "A\ufffd"},
	} {
		assert.True(t, c.Equal(value.Of(pair[0]), value.Of(pair[1])), name)
	}
	for name, pair := range map[string][2]any{
		"names of fields": {value.D("x", 1), value.D("X", 1)},
		"symbols":         {bson.Symbol("a"), bson.Symbol("A")},
		"other types":     {"1", 1},
	} {
		assert.False(t, c.Equal(value.Of(pair[0]), value.Of(pair[1])), name)
	}
	var none *Collation
	assert.False(t, none.Equal(value.String("a"), value.String("A")))
	assert.Nil(t, none.Doc())
	assert.True(t, none.Same(nil))
	assert.False(t, none.Same(c))
	assert.True(t, c.Same(must(t, "strength", 2.0, "locale", "en")))
	assert.False(t, c.Same(must(t, "locale", "en_US", "strength", 2)))
}

// Keys have the order of Compare, whatever the strings.
func TestKeysAreConsistent(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	alphabet := []rune("aAäÄ\u0301\u0327 -_1٢９βЯあア一가\u1100\u1161\x00\u200d😀")
	word := func() bson.RawValue {
		var s []rune
		for range rng.IntN(6) {
			s = append(s, alphabet[rng.IntN(len(alphabet))])
		}
		return value.String(string(s))
	}
	for _, c := range []*Collation{
		must(t, "locale", "en"), must(t, "locale", "ja", "strength", 5, "caseLevel", true), must(t, "locale", "fr_CA", "numericOrdering", true, "caseLevel", true),
		must(t, "locale", "ru", "alternate", "shifted", "strength", 4),
	} {
		for range 2000 {
			x, y, z := word(), word(), word()
			xy := c.Compare(x, y)
			require.Equal(t, -xy, c.Compare(y, x), "seed %d: %s %s", seed, x, y)
			if xy <= 0 && c.Compare(y, z) <= 0 {
				require.LessOrEqual(t, c.Compare(x, z), 0, "seed %d: %s %s %s", seed, x, y, z)
			}
		}
	}
}

func FuzzKey(f *testing.F) {
	f.Add("a\u0301\xff\u0300", "zh")
	f.Add("ch\u1100\u11a8", "cs")
	f.Fuzz(func(t *testing.T, s, locale string) {
		c, err := Parse(value.D("locale", locale, "strength", 5, "caseLevel", true, "numericOrdering", true, "alternate", "shifted"))
		if err != nil || c == nil {
			return
		}
		key := c.Key(value.String(s))
		c.Key(value.String("\u0300 a 12 "))
		require.Equal(t, key, c.Key(value.String(s)), "a key does not depend on what was weighed before")
	})
}

func TestFullForm(t *testing.T) {
	full := func(locale string, changed ...any) bson.Raw {
		d := bson.D{
			{"locale", locale},
			{"caseLevel", false},
			{"caseFirst", "off"},
			{"strength", int32(3)},
			{"numericOrdering", false},
			{"alternate", "non-ignorable"},
			{"maxVariable", "punct"},
			{"normalization", false},
			{"backwards", false},
			{"version", "57.1"},
		}
		for i := range d {
			for n := 0; n < len(changed); n += 2 {
				if d[i].Key == changed[n] {
					d[i].Value = changed[n+1]
				}
			}
		}
		return value.Of(d).Document()
	}
	for _, c := range []struct {
		given []any
		want  bson.Raw
	}{
		{[]any{"locale", "en"}, full("en")},
		{[]any{"locale", "en", "version", "57.1", "strength", nil}, full("en")},
		{[]any{"strength", int64(1), "locale", "en_US", "caseLevel", true}, full("en_US", "strength", int32(1), "caseLevel", true)},
		{[]any{"locale", "da"}, full("da", "caseFirst", "upper")},
		{[]any{"locale", "da", "caseFirst", "off"}, full("da")},
		{[]any{"locale", "fr_CA"}, full("fr_CA", "backwards", true)},
		{[]any{"locale", "th"}, full("th", "alternate", "shifted", "normalization", true)},
		{[]any{"locale", "vi"}, full("vi", "normalization", true)},
		{[]any{"locale", "de@collation=search"}, full("de@collation=search", "normalization", true)},
	} {
		assert.Equal(t, c.want.String(), must(t, c.given...).Doc().String())
	}
	assert.Nil(t, must(t, "locale", "simple"))
	assert.Nil(t, must(t, "locale", "simple", "strength", 1, "caseFirst", "upper"), "the other fields mean nothing")
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		given []any
		code  mongoerr.Code
		says  string
	}{
		"no locale":           {[]any{"strength", 1}, mongoerr.IDLFailedToParse, "BSON field 'collation.locale' is missing but a required field"},
		"unknown field":       {[]any{"locale", "en", "x", 1}, mongoerr.IDLUnknownField, "BSON field 'collation.x' is an unknown field."},
		"type":                {[]any{"locale", 1}, mongoerr.TypeMismatch, "BSON field 'collation.locale' is the wrong type 'int', expected type 'string'"},
		"null backwards":      {[]any{"locale", "en", "backwards", nil}, mongoerr.TypeMismatch, "BSON field 'collation.backwards' is the wrong type 'null', expected type 'bool'"},
		"unknown locale":      {[]any{"locale", "zzz"}, mongoerr.BadValue, `Field 'locale' is invalid in: { locale: "zzz" }`},
		"country":             {[]any{"locale", "en_GB"}, mongoerr.BadValue, `Field 'locale' is invalid in: { locale: "en_GB" }. Did you mean 'en'?`},
		"spelling":            {[]any{"locale", "EN-us"}, mongoerr.BadValue, `Field 'locale' is invalid in: { locale: "EN-us" }. Did you mean 'en_US'?`},
		"old name":            {[]any{"locale", "iw"}, mongoerr.BadValue, `Field 'locale' is invalid in: { locale: "iw" }. Did you mean 'he'?`},
		"unknown variant":     {[]any{"locale", "de@collation=x"}, mongoerr.BadValue, `Field 'locale' is invalid in: { locale: "de@collation=x" }. Did you mean 'de'?`},
		"empty locale":        {[]any{"locale", ""}, mongoerr.BadValue, `Field 'locale' cannot be the empty string in: { locale: "" }`},
		"strength above":      {[]any{"locale", "en", "strength", 6}, mongoerr.BadValue, ""},
		"strength rounded":    {[]any{"locale", "en", "strength", 0.9}, mongoerr.BadValue, ""},
		"caseFirst":           {[]any{"locale", "en", "caseFirst", "x"}, mongoerr.BadValue, "Enumeration value 'x' for field 'collation.caseFirst' is not a valid value."},
		"caseFirst, strength": {[]any{"locale", "en", "caseFirst", "upper", "strength", 2}, mongoerr.BadValue, ""},
		"Danish, strength":    {[]any{"locale", "da", "strength", 1}, mongoerr.BadValue, ""},
		"backwards, strength": {[]any{"locale", "en", "backwards", true, "strength", 1}, mongoerr.BadValue, ""},
		"version":             {[]any{"locale", "en", "version", "58"}, mongoerr.IncompatibleCollationVersion, ""},
		"not in x/text":       {[]any{"locale", "hsb"}, mongoerr.CommandNotSupported, ""},
		"variant not there":   {[]any{"locale", "zh@collation=zhuyin"}, mongoerr.CommandNotSupported, ""},
	} {
		_, err := Parse(value.D(c.given...))
		require.Error(t, err, name)
		assert.Equal(t, c.code, mongoerr.From(err).Code, name)
		if c.says != "" {
			assert.Equal(t, c.says, mongoerr.From(err).Message, name)
		}
	}
}

func BenchmarkKey(b *testing.B) {
	c := must(b, "locale", "en", "strength", 2)
	v := value.String("a sentence of middling length")
	b.ReportAllocs()
	for b.Loop() {
		c.Key(v)
	}
}
