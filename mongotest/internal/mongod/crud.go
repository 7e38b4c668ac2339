package mongod

func crudCommands() map[string]*handler {
	return map[string]*handler{
		"find":          {runFind, isRead | txnOK},
		"getMore":       {runGetMore, txnOK | awaits},
		"killCursors":   {runKillCursors, txnOK},
		"count":         {runCount, isRead},
		"distinct":      {runDistinct, isRead | txnOK},
		"aggregate":     {runAggregate, isRead | isWrite | txnOK},
		"explain":       {runExplain, 0},
		"insert":        {runInsert, isWrite | retryable | txnOK},
		"update":        {runUpdate, isWrite | retryable | txnOK},
		"delete":        {runDelete, isWrite | retryable | txnOK},
		"findAndModify": {runFindAndModify, isWrite | retryable | txnOK},
		"findandmodify": {runFindAndModify, isWrite | retryable | txnOK},
		"bulkWrite":     {runBulkWrite, isWrite | retryable | txnOK},
	}
}
