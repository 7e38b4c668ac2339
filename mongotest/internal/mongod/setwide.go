package mongod

import "github.com/shardferry/shardferry/mongotest/internal/planning"

// setWide is what commands have set for the whole replica set.
type setWide struct {
	queries    planning.Settings
	concerns   defaultConcerns
	parameters clusterParameters
}
