package mongos

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/command"
	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// hold makes the first command of that name wait on its way to a shard until the
// returned function is called. reached closes when it waits.
func (c *cluster) hold(name string) (reached chan struct{}, release func()) {
	reached = make(chan struct{})
	released := make(chan struct{})
	var once sync.Once
	c.lose = func(_ string, req *command.Request) error {
		if req.Name == name {
			once.Do(func() { close(reached); <-released })
		}
		return nil
	}
	return reached, func() { close(released) }
}

// background runs a command of which only the error counts.
func (c *cluster) background(cmd bson.D) chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := c.router.Handle(context.WithoutCancel(c.t.Context()), &command.Request{Name: cmd[0].Key, DB: "admin", Body: rawDoc(cmd), Client: c.client})
		ended <- err
	}()
	return ended
}

func TestAReshardingThatIsAbortedLeavesEverythingAsItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := spreadOut(t)
		before, all := c.uuidOf("c"), c.documents("c")
		c.fails(mongoerr.NoSuchReshardCollection, "admin", bson.D{{"abortReshardCollection", "db.c"}})
		reached, release := c.hold("create") // it makes its collection
		resharding := c.background(bson.D{{"reshardCollection", "db.c"}, {"key", bson.D{{"x", 1}}}})
		<-reached
		c.fails(mongoerr.NoSuchReshardCollection, "admin", bson.D{{"abortMoveCollection", "db.c"}})
		abort := c.background(bson.D{{"abortReshardCollection", "db.c"}})
		synctest.Wait()
		release()
		assert.Equal(t, mongoerr.ReshardCollectionAborted, mongoerr.From(<-resharding).Code)
		require.NoError(t, <-abort)
		assert.Equal(t, before, c.uuidOf("c"))
		assert.Equal(t, all, c.documents("c"))
		assert.Empty(t, c.on("s0", "system.resharding."+before.String()))
		c.must("admin", bson.D{{"reshardCollection", "db.c"}, {"key", bson.D{{"x", 1}, {"_id", 1}}}})
	})
}

func TestAReshardingThatIsDecidedIsNotAborted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := spreadOut(t)
		reached, release := c.hold("renameCollection") // it gives its collection the name
		resharding := c.background(bson.D{{"reshardCollection", "db.c"}, {"key", bson.D{{"x", 1}, {"_id", 1}}}})
		<-reached
		abort := c.background(bson.D{{"abortReshardCollection", "db.c"}})
		commit := c.background(bson.D{{"commitReshardCollection", "db.c"}})
		synctest.Wait()
		release()
		require.NoError(t, <-resharding)
		require.NoError(t, <-commit)
		assert.Equal(t, mongoerr.ReshardCollectionCommitted, mongoerr.From(<-abort).Code)
		assert.Equal(t, rawDoc(bson.D{{"x", 1}, {"_id", 1}}), c.catalog.table("db.c").key.raw)
	})
}
