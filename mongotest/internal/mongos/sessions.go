package mongos

type sessionTable struct{}

func newSessionTable() *sessionTable { return &sessionTable{} }
