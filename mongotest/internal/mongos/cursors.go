package mongos

type cursorTable struct{}

func newCursorTable() *cursorTable { return &cursorTable{} }
