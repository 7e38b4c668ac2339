package chaos

import (
	"fmt"
	"strconv"
	"strings"
)

// maxSeeds is how many seeds one command line may ask for.
const maxSeeds = 1_000_000

// ParseSeeds reads seeds and ranges of them, such as "1-20,42". A seed that is
// named several times is run several times.
func ParseSeeds(text string) ([]uint64, error) {
	var seeds []uint64
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, aerr := strconv.ParseUint(strings.TrimSpace(from), 10, 64)
		b, berr := strconv.ParseUint(strings.TrimSpace(to), 10, 64)
		switch {
		case aerr != nil || berr != nil:
			return nil, fmt.Errorf("%q is not a seed or a range of seeds such as 1-20", part)
		case b < a:
			return nil, fmt.Errorf("the range %q ends before it begins", part)
		case b-a >= maxSeeds || uint64(len(seeds))+b-a >= maxSeeds:
			return nil, fmt.Errorf("%q: more than %d seeds", part, maxSeeds)
		}
		for s := a; ; s++ {
			seeds = append(seeds, s)
			if s == b {
				break
			}
		}
	}
	return seeds, nil
}
