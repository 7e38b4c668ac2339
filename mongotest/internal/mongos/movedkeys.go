package mongos

import (
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A moveKey names a retryable statement.
type moveKey struct {
	session string
	number  int64
	stmt    int32
}

// movedKeys remembers the retryable statements that moved a document to
// another shard, so that a retry does not do it again. The shards cannot know:
// for them it was a transaction of its own. Only the newestt number of a
// session can be retried.
type movedKeys struct {
	mu     sync.Mutex
	done   map[string]map[int32]bson.Raw // by session: statement to reply
	newest map[string]int64
}

func newMovedKeys() *movedKeys {
	return &movedKeys{done: map[string]map[int32]bson.Raw{}, newest: map[string]int64{}}
}

func (m *movedKeys) has(k moveKey) bool {
	_, ok := m.get(k)
	return ok
}

// get returns the reply kept for a statement, which is nil for updates.
func (m *movedKeys) get(k moveKey) (bson.Raw, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k.session == "" || m.newest[k.session] != k.number {
		return nil, false
	}
	reply, ok := m.done[k.session][k.stmt]
	return reply, ok
}

func (m *movedKeys) add(k moveKey, reply bson.Raw) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k.session == "" {
		return
	}
	if m.newest[k.session] != k.number || m.done[k.session] == nil {
		m.newest[k.session], m.done[k.session] = k.number, map[int32]bson.Raw{}
	}
	m.done[k.session][k.stmt] = reply
}

// forget drops what is known of a session.
func (m *movedKeys) forget(session string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.done, session)
	delete(m.newest, session)
}

// moveKey names a statement of the client's command; without a session it is
// no key at all.
func (o *op) moveKey(stmt int32) moveKey {
	if o.txn != nil || !has(o.req.Body, "txnNumber") {
		return moveKey{}
	}
	return moveKey{session: sessionID(getDoc(o.req.Body, "lsid")), number: getInt(o.req.Body, "txnNumber", 0), stmt: stmt}
}
