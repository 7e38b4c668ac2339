package collation

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/aggregate/rawdoc"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// A language says how strings of a locale are weighed.
type language struct {
	table   string   // the BCP 47 tag of x/text's table
	scripts []string // those that come first, in this order
	missing bool     // x/text has no such rules
}

// locales are the locales that ICU 57 has collations for, as the server's manual
// lists them, without their variants.
const locales = " af am ar as az be bg bn bo bs bs_Cyrl ca chr cs cy da de de_AT dsb dz ee el en en_US en_US_POSIX eo es et fa fa_AF " +
	"fi fil fo fr fr_CA ga gl gu ha haw he hi hr hsb hu hy id ig is it ja ka kk kl km kn ko kok ky lb lkt ln lo lt lv mk ml mn mr ms mt my " +
	"nb ne nl nn om or pa pl ps pt ro ru se si sk sl smn sq sr sr_Latn sv sw ta te th to tr ug uk ur vi wae yi yo zh zh_Hant zu "

// variants are the locales' other rules, chosen with "locale@collation=variant".
// Every locale has search and eor, which are those of the root.
var variants = map[string]string{
	"ar": "compat", "bn": "traditional", "de": "phonebook", "de_AT": "phonebook", "es": "traditional", "fi": "traditional",
	"ja": "unihan", "kn": "traditional", "ko": "searchjl unihan", "ln": "phonetic", "si": "dictionary", "sv": "standard",
	"vi": "traditional", "zh": "big5han gb2312han stroke unihan zhuyin", "zh_Hant": "big5han gb2312han pinyin unihan zhuyin",
}

// tables are the locales whose rules stand under another name in x/text, or which
// have those of another locale. A variant of search is weighed like the standard
// rules; unihan is the order of the characters' numbers, by radical and stroke.
var tables = map[string]string{
	"en_US_POSIX": "en-US-u-va-posix", "de@collation=phonebook": "de-u-co-phonebk", "de_AT@collation=phonebook": "de-u-co-phonebk",
	"bs": "hr", "sr_Latn": "hr", "bs_Cyrl": "sr", "nb": "nn", "gl": "es", "sv@collation=standard": "sv-u-co-standard", "fi@collation=traditional": "fi-u-co-standard",
	"ln@collation=phonetic": "ln-u-co-phonetic", "zh@collation=stroke": "zh-u-co-stroke", "zh_Hant@collation=pinyin": "zh-Hant-u-co-pinyin",
	"zh@collation=unihan": "und", "zh_Hant@collation=unihan": "und", "ja@collation=unihan": "und", "ko@collation=unihan": "und",
}

// missing are the locales with rules of their own that x/text does not have.
const missing = " bo dsb hsb lkt smn ug yi "

// normalized are the locales that normalise strings by default.
const normalized = " as bn el fa fa_AF gu he hi ig km kn kok mr my or pa ps si ta te th vi yi yo "

// aliases are names of locales that ICU knows by another name.
var aliases = map[string]string{
	"in": "id", "iw": "he", "no": "nb", "mo": "ro", "sh": "sr_Latn", "zh_TW": "zh_Hant", "zh_HK": "zh_Hant", "zh_MO": "zh_Hant",
	"zh_Hans": "zh", "zh_CN": "zh", "zh_SG": "zh", "sr_Cyrl": "sr",
}

func among(list, word string) bool { return strings.Contains(list, " "+word+" ") }

// findLanguage looks for a locale. One that ICU would have to guess at is
// refused, with what it would have taken.
func findLanguage(locale string, doc bson.Raw) (language, error) {
	switch {
	case strings.ContainsRune(locale, 0):
		return language{}, mongoerr.New(mongoerr.BadValue, "Field 'locale' cannot contain null byte. Collation spec: %s", rawdoc.RenderDoc(doc))
	case locale == "":
		return language{}, mongoerr.New(mongoerr.BadValue, "Field 'locale' cannot be the empty string in: %s", rawdoc.RenderDoc(doc))
	}
	if near := nearest(locale); near != locale {
		hint := ""
		if near != "" {
			hint = ". Did you mean '" + near + "'?"
		}
		return language{}, mongoerr.New(mongoerr.BadValue, "Field 'locale' is invalid in: %s%s", rawdoc.RenderDoc(doc), hint)
	}
	base, variant, _ := strings.Cut(locale, "@collation=")
	l := language{table: strings.ReplaceAll(base, "_", "-"), scripts: scriptsOf(base)}
	table, renamed := tables[locale]
	if other, ok := tables[base]; !renamed && ok {
		table, renamed = other, true
	}
	if renamed {
		l.table = table
	}
	special := variant != "" && variant != "search" && tables[locale] == ""
	l.missing = special || among(missing, base)
	return l, nil
}

// nearest returns the locale that ICU takes for a name, "" if that is the root.
func nearest(name string) string {
	base, keywords, _ := strings.Cut(name, "@")
	base = canonical(base)
	for ; !among(locales, base); base = base[:max(0, strings.LastIndexByte(base, '_'))] {
		if other, ok := aliases[base]; ok {
			base = other
			break
		}
		if base == "" {
			return ""
		}
	}
	variant, ok := strings.CutPrefix(keywords, "collation=")
	if ok && (variant == "search" || variant == "eor" || slices.Contains(strings.Fields(variants[base]), variant)) {
		return base + "@collation=" + variant
	}
	return base
}

// canonical spells a name as ICU does: language, Script, COUNTRY, VARIANT.
func canonical(name string) string {
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == '-' })
	for i, p := range parts {
		switch {
		case i == 0:
			parts[i] = strings.ToLower(p)
		case i == 1 && len(p) == 4:
			parts[i] = strings.ToUpper(p[:1]) + strings.ToLower(p[1:])
		default:
			parts[i] = strings.ToUpper(p)
		}
	}
	return strings.Join(parts, "_")
}

// defaults are the settings of a locale. They are ICU's, in the files of its
// collations.
func defaults(locale string) settings {
	base, variant, _ := strings.Cut(locale, "@collation=")
	s := settings{locale: locale, caseFirst: "off", strength: 3, alternate: "non-ignorable", maxVariable: "punct"}
	s.normalization = among(normalized, base) || variant == "search" || variant == "searchjl"
	s.backwards = base == "fr_CA"
	if (base == "da" || base == "mt") && variant != "search" {
		s.caseFirst = "upper"
	}
	if base == "th" {
		s.alternate = "shifted"
	}
	return s
}
