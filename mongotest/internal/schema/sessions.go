package schema

// sessionCommands are the commands about sessions and transactions.
func sessionCommands() map[string]*spec {
	return map[string]*spec{
		"startSession":    {first: anything, traits: lenient},
		"refreshSessions": {first: arrayOf(sessionID).required(), traits: stable},
		"endSessions":     {first: arrayOf(sessionID).required(), traits: stable},
		"killSessions":    {first: arrayOf(sessionID).required(), traits: lenient},
		"killAllSessions": {first: arrayOf(structure(fields{"user": text.required(), "db": text.required()})).required(), traits: lenient},
		"killAllSessionsByPattern": {first: arrayOf(structure(fields{
			"lsid": structure(fields{"id": uuid.required(), "uid": binary, "txnNumber": long, "txnUUID": uuid}), "uid": binary,
			"users": objects, "roles": objects,
		})).required(), traits: lenient},
		"commitTransaction": {first: anything, traits: stable | adminOnly, fields: fields{
			"recoveryToken": object, "commitTimestamp": stamp,
		}},
		"abortTransaction": {first: anything, traits: stable | adminOnly, fields: fields{"recoveryToken": object}},
	}
}
