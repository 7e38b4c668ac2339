package changestream

import (
	"fmt"
	"strconv"
	"strings"
)

// features are what depends on the simulated server's version.
type features struct {
	tokenVersion       int  // of new tokens
	disambiguatedPaths bool // in expanded update events
	nsType             bool // in expanded create events
}

// featuresOf reads a version such as "8.0.4".
func featuresOf(version string) (features, error) {
	majorPart, rest, _ := strings.Cut(version, ".")
	minorPart, _, _ := strings.Cut(rest, ".")
	major, err := strconv.Atoi(majorPart)
	if err != nil {
		return features{}, fmt.Errorf("server version %q: %w", version, err)
	}
	minor, err := strconv.Atoi(minorPart)
	if err != nil {
		return features{}, fmt.Errorf("server version %q: %w", version, err)
	}
	atLeast := func(a, b int) bool { return major > a || major == a && minor >= b }
	f := features{tokenVersion: V1, disambiguatedPaths: atLeast(6, 1), nsType: atLeast(8, 1)}
	if atLeast(7, 0) {
		f.tokenVersion = V2
	}
	return f, nil
}
