package mongoconn

// CodeCount is how many codes the table knows.
func CodeCount() int { return len(codes) }
