package changestream

import "github.com/shardferry/shardferry/mongotest/internal/release"

// features are what depends on the simulated server's version.
type features struct {
	tokenVersion       int  // of new tokens
	disambiguatedPaths bool // in expanded update events
	nsType             bool // in expanded create events
	refines            bool // there are refineCollectionShardKey events
	reshards           bool // there are reshardCollection events
}

func featuresOf(v release.Version) features {
	f := features{
		tokenVersion: V1, disambiguatedPaths: v.AtLeast(6, 1), nsType: v.AtLeast(8, 1), refines: v.AtLeast(6, 1),
		reshards: v.AtLeast(6, 1) || v[0] == 6 && v[2] >= 14, // brought to 6.0 later
	}
	if v.AtLeast(7, 0) {
		f.tokenVersion = V2
	}
	return f
}
