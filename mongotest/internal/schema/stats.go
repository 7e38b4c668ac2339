package schema

// statsCommands are the commands that say how much there is of something.
func statsCommands() map[string]*spec {
	collStats := &spec{first: collection, fields: fields{"scale": number.atLeast(1), "verbose": flag, "waitForLock": flag, "numericOnly": flag}}
	dbStats := &spec{first: anything, fields: fields{"scale": number.atLeast(1), "freeStorage": flag}}
	return map[string]*spec{
		"collStats": collStats, "collstats": collStats,
		"dbStats": dbStats, "dbstats": dbStats,
	}
}
