package release

// later are the commands that came after 6.0, and when.
var later = map[string][2]int{
	"analyzeShardKey": {7, 0}, "configureQueryAnalyzer": {7, 0}, "checkMetadataConsistency": {7, 0}, "mergeAllChunksOnShard": {7, 0},
	"createSearchIndexes": {7, 0}, "updateSearchIndex": {7, 0}, "dropSearchIndex": {7, 0}, "listSearchIndexes": {7, 0},

	"bulkWrite": {8, 0}, "setQuerySettings": {8, 0}, "removeQuerySettings": {8, 0},
	"moveCollection": {8, 0}, "abortMoveCollection": {8, 0}, "unshardCollection": {8, 0}, "abortUnshardCollection": {8, 0},
	"transitionFromDedicatedConfigServer": {8, 0}, "transitionToDedicatedConfigServer": {8, 0},
}

// Commands takes from a table the commands that v does not have.
func Commands[T any](v Version, table map[string]T) {
	for name, since := range later {
		if !v.AtLeast(since[0], since[1]) {
			delete(table, name)
		}
	}
}
