package release

import (
	"fmt"
	"strconv"
	"strings"
)

// A Version is a server version, such as 8.0.4.
type Version [3]int

// Default is the version of servers that are not told theirs.
var Default = Version{8, 0, 4}

// OrDefault returns v, or Default for the zero Version.
func (v Version) OrDefault() Version {
	if v == (Version{}) {
		return Default
	}
	return v
}

func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

// Parse reads a version of the form "8.0.4" or "8.0".
func Parse(s string) (Version, error) {
	var v Version
	parts := strings.Split(s, ".")
	if len(parts) < 2 || len(parts) > len(v) {
		return v, fmt.Errorf("server version %q: want the form 8.0.4", s)
	}
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return v, fmt.Errorf("server version %q: want the form 8.0.4", s)
		}
		v[i] = n
	}
	return v, nil
}

// AtLeast reports whether v is a release of the series major.minor or of a later
// one.
func (v Version) AtLeast(major, minor int) bool {
	return v[0] > major || v[0] == major && v[1] >= minor
}

// FCV is the featureCompatibilityVersion that a new server has, as "8.0".
func (v Version) FCV() string { return fmt.Sprintf("%d.%d", v[0], v[1]) }

// Wire is the maxWireVersion of the series. Each minor release before the next
// major one has a number of its own (server-facts 7.1).
func (v Version) Wire() int32 {
	switch {
	case v[0] >= 8:
		return 25 + int32(v[1])
	case v[0] == 7:
		return 21 + int32(v[1])
	default:
		return 17 + int32(v[1])
	}
}

// Array is versionArray as buildInfo shows it.
func (v Version) Array() []int32 {
	return []int32{int32(v[0]), int32(v[1]), int32(v[2]), 0}
}
