package collation

import (
	"cmp"
	"slices"
	"strings"
)

// starts are the first letters of the scripts in the root's order. What lies
// between two of them moves with the first.
var starts = map[string]rune{
	"Latn": 'a', "Grek": 'α', "Copt": 'ⲁ', "Cyrl": 'а', "Glag": 'ⰰ', "Geor": 'ა', "Armn": 'ա', "Hebr": 'א', "Arab": 'ء', "Syrc": 'ܐ',
	"Thaa": 'ހ', "Ethi": 'ሀ', "Deva": 'ऄ', "Beng": 'অ', "Guru": 'ੳ', "Gujr": 'અ', "Orya": 'ଅ', "Taml": 'அ', "Telu": 'అ', "Knda": 'ಅ',
	"Mlym": 'അ', "Sinh": 'අ', "Thai": 'ก', "Laoo": 'ກ', "Tibt": 'ཀ', "Mymr": 'က', "Khmr": 'ក', "Mong": 'ᠠ', "Cher": 'Ꭰ', "Hang": 'ᄀ',
	"Hira": 'あ', "Bopo": 'ㄅ', "Hani": '一',
}

// indic are the scripts of India, which its languages put first together.
const indic = "Deva Beng Guru Gujr Orya Taml Telu Knda Mlym Sinh"

// scriptsFirst are the scripts that a locale puts before all others.
var scriptsFirst = map[string]string{
	"ar": "Arab", "fa": "Arab", "fa_AF": "Arab", "ps": "Arab", "ug": "Arab", "ur": "Arab", "az": "Latn Cyrl", "hr": "Latn Cyrl",
	"be": "Cyrl", "bg": "Cyrl", "kk": "Cyrl", "ky": "Cyrl", "mk": "Cyrl", "mn": "Cyrl Mong", "ru": "Cyrl", "sr": "Cyrl", "uk": "Cyrl", "bs_Cyrl": "Cyrl",
	"as": "Beng", "bn": "Beng", "gu": "Gujr", "hi": "Deva", "kn": "Knda", "kok": "Deva", "mr": "Deva", "or": "Orya", "pa": "Guru", "si": "Sinh",
	"ta": "Taml", "te": "Telu", "ne": "Deva", "am": "Ethi", "chr": "Cher", "el": "Grek", "he": "Hebr", "yi": "Hebr", "hy": "Armn", "ka": "Geor",
	"km": "Khmr", "ko": "Hang Hani", "ja": "Latn Hira Hani", "lo": "Laoo", "my": "Mymr", "th": "Thai", "zh": "Hani", "zh_Hant": "Hani",
	"ml": "Mlym Latn Deva Arab Taml Knda Telu Beng Guru Gujr Orya Sinh",
}

// scriptsOf returns the scripts that a locale puts first. The Indian languages
// have the other scripts of India follow their own.
func scriptsOf(locale string) []string {
	first := strings.Fields(scriptsFirst[locale])
	if len(first) == 1 && strings.Contains(indic, first[0]) {
		for s := range strings.FieldsSeq(indic) {
			if s != first[0] {
				first = append(first, s)
			}
		}
	}
	return first
}

// A scriptOrder moves the primary weights of scripts.
type scriptOrder struct {
	letters int          // the first weight of a letter
	moved   []scriptMove // by place in the root's order
}

// A scriptMove is a script's weights, and where they go.
type scriptMove struct{ from, to, target int }

// lastPrimary is beyond every primary weight of x/text.
const lastPrimary = 1 << 21

func (w *weigher) orderOf(scripts []string) scriptOrder {
	o := scriptOrder{letters: w.primaryOf(starts["Latn"])}
	if len(scripts) == 0 {
		return o
	}
	var bounds []int
	for _, r := range starts {
		bounds = append(bounds, w.primaryOf(r))
	}
	bounds = append(bounds, lastPrimary)
	slices.Sort(bounds)
	target := o.letters
	for _, s := range scripts {
		from := w.primaryOf(starts[s])
		at, _ := slices.BinarySearch(bounds, from)
		to := bounds[at+1]
		o.moved = append(o.moved, scriptMove{from: from, to: to, target: target})
		target += to - from
	}
	slices.SortFunc(o.moved, func(a, b scriptMove) int { return cmp.Compare(a.from, b.from) })
	return o
}

// place returns the weight that stands for p in the locale's order.
func (o *scriptOrder) place(p int) int {
	if len(o.moved) == 0 || p < o.letters {
		return p
	}
	shift := 0
	for _, m := range o.moved {
		switch {
		case p >= m.from && p < m.to:
			return m.target + p - m.from
		case p < m.from:
			shift += m.to - m.from
		}
	}
	return p + shift
}
