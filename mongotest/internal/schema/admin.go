package schema

// adminCommands are the commands on the node and the replica set.
func adminCommands() map[string]*spec {
	return map[string]*spec{
		"setUserWriteBlockMode": {first: anything, traits: adminOnly, fields: fields{"global": boolean.required(),
			"reason": oneOf("Unspecified", "ClusterToClusterMigrationInProgress", "DiskUseThresholdExceeded"),
		}},
		"appendOplogNote": {first: anything, traits: adminOnly, fields: fields{"data": object.required(), "maxClusterTime": stamp}},
		"setFeatureCompatibilityVersion": {first: text.required(), traits: adminOnly, fields: fields{
			"confirm": boolean, "downgradeOnDiskChanges": boolean, "fromConfigServer": boolean, "dryRun": boolean,
		}},
		"getDefaultRWConcern": {first: anything, traits: adminOnly, fields: fields{"inMemory": boolean}},
	}
}
