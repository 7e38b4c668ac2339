package schema

// statsCommands are the commands that say how much there is of something.
func statsCommands() map[string]*spec {
	collStats := &spec{first: collection, fields: fields{"scale": number.atLeast(1), "verbose": flag, "waitForLock": flag, "numericOnly": flag}}
	dbStats := &spec{first: anything, fields: fields{"scale": number.atLeast(1), "freeStorage": number}}
	return map[string]*spec{
		"collStats": collStats, "collstats": collStats,
		"dbStats": dbStats, "dbstats": dbStats,
		"dataSize": {first: text.required(), fields: fields{"keyPattern": object, "min": object, "max": object, "estimate": flag}},
	}
}
