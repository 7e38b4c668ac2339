package node_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/coordinator/state"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/mongotest"
)

// itsOwn are the users of a destination that are its own.
var itsOwn = []mongotest.User{
	users[0], // as whom the node logs in; the source has one of that name too
	{Name: "keeper", Password: "k", DB: "admin", Roles: []mongotest.Role{{Role: "read", DB: "d"}}},
}

func (s *stage) startWithUsers() error {
	return s.node.Start(s.t.Context(), api.StartRequest{Source: "cluster0", Destination: "cluster1", WithUsers: true}, "test")
}

// as returns a client that logs in as a user of a database.
func (s *stage) as(c *mongotest.Cluster, db, user, password string) *mongo.Client {
	s.t.Helper()
	cl, err := mongo.Connect(c.ClientOptions().SetAuth(options.Credential{AuthSource: db, Username: user, Password: password}))
	require.NoError(s.t, err)
	return cl
}

// logsIn reports whether a user can log in.
func (s *stage) logsIn(c *mongotest.Cluster, db, user, password string) bool {
	s.t.Helper()
	cl := s.as(c, db, user, password)
	err := cl.Database("d").RunCommand(s.t.Context(), bson.D{{"connectionStatus", 1}}).Err()
	require.NoError(s.t, cl.Disconnect(s.t.Context()))
	return err == nil
}

// insertsAs tries to insert into a collection of d.
func (s *stage) insertsAs(c *mongotest.Cluster, db, user, password, coll string) error {
	s.t.Helper()
	cl := s.as(c, db, user, password)
	_, err := cl.Database("d").Collection(coll).InsertOne(s.t.Context(), bson.D{})
	require.NoError(s.t, cl.Disconnect(s.t.Context()))
	return err
}

func (s *stage) on(cl *mongo.Client, db string, cmd bson.D) {
	s.t.Helper()
	require.NoError(s.t, cl.Database(db).RunCommand(s.t.Context(), cmd).Err(), "%v", cmd)
}

func createUser(name, password string, roles ...any) bson.D {
	if roles == nil {
		roles = []any{}
	}
	return bson.D{{"createUser", name}, {"pwd", password}, {"roles", roles}}
}

func createRole(name string, roles []any, action string, coll string) bson.D {
	return bson.D{{"createRole", name}, {"roles", roles}, {"privileges", bson.A{
		bson.D{{"resource", bson.D{{"db", "d"}, {"collection", coll}}}, {"actions", bson.A{action}}},
	}}}
}

// staffed brings a stage to streaming, with users and roles that come too.
func (s *stage) staffed() {
	s.t.Helper()
	require.NoError(s.t, s.insert(s.app, upTo(5)...))
	s.on(s.from, "d", createRole("reader", []any{}, "find", "c"))
	s.on(s.from, "d", createRole("writer", []any{"reader"}, "insert", "c"))
	s.on(s.from, "d", createUser("alice", "a", "writer"))
	s.on(s.from, "admin", createUser("bob", "b", "readAnyDatabase"))
	s.on(s.from, "d", createUser("leaver", "l", "read"))
	s.up()
	require.NoError(s.t, s.startWithUsers())
	s.stream()
}

// noTraces asserts that no credentials are left where they do not belong.
func (s *stage) noTraces() {
	s.t.Helper()
	for _, cl := range []*mongo.Client{s.from, s.to} {
		names, err := cl.Database("admin").ListCollectionNames(s.t.Context(), bson.D{{"name", bson.D{{"$regex", "^temp"}}}})
		require.NoError(s.t, err)
		assert.Empty(s.t, names)
	}
}

// secrets are what must never be seen of the users of a cluster.
func (s *stage) secrets(cl *mongo.Client) (all [][]byte) {
	s.t.Helper()
	cur, err := cl.Database("admin").Collection("system.users").Find(s.t.Context(), bson.D{})
	require.NoError(s.t, err)
	for cur.Next(s.t.Context()) {
		for _, mechanism := range []string{"SCRAM-SHA-1", "SCRAM-SHA-256"} {
			for _, key := range []string{"storedKey", "serverKey", "salt"} {
				if v, ok := cur.Current.Lookup("credentials", mechanism, key).StringValueOK(); ok {
					all = append(all, []byte(v))
				}
			}
		}
	}
	require.NoError(s.t, cur.Err())
	require.NotEmpty(s.t, all)
	return all
}

// Users and roles are on the destination when it opens as they are on the source
// then, with their passwords; and they find the way back. What the clusters have
// of their own stays where it is.
func TestUsersComeWithTheCommit(t *testing.T) {
	for _, shards := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			play(t, setting{srcShards: shards, dstShards: shards, auth: true, dstUsers: itsOwn}, func(t *testing.T, s *stage) {
				s.staffed()
				s.on(s.from, "d", createUser("late", "l"))
				s.on(s.from, "admin", bson.D{{"updateUser", "bob"}, {"pwd", "b2"}})
				s.on(s.from, "d", bson.D{{"dropUser", "leaver"}})
				assert.False(t, s.logsIn(s.dst, "d", "alice", "a"), "before the commit there is nobody")
				s.commit()
				s.reach(shardferry.StateCommitted)
				require.NoError(t, s.insertsAs(s.dst, "d", "alice", "a", "c"))
				assert.True(t, mongoconn.IsCode(s.insertsAs(s.dst, "d", "alice", "a", "other"), mongoconn.CodeUnauthorized))
				assert.True(t, s.logsIn(s.dst, "d", "late", "l"))
				assert.True(t, s.logsIn(s.dst, "admin", "bob", "b2"))
				assert.False(t, s.logsIn(s.dst, "admin", "bob", "b"))
				assert.False(t, s.logsIn(s.dst, "d", "leaver", "l"))
				assert.True(t, s.logsIn(s.dst, "admin", "keeper", "k"))
				assert.True(t, s.logsIn(s.dst, "admin", "operator", "p"))
				s.noTraces()

				s.on(s.to, "d", createUser("fresh", "f", "read"))
				s.on(s.to, "admin", bson.D{{"updateUser", "bob"}, {"pwd", "b3"}})
				s.on(s.to, "d", bson.D{{"dropUser", "alice"}})
				s.on(s.to, "d", bson.D{{"dropRole", "writer"}})
				require.NoError(t, s.node.Rollback(t.Context(), "test"))
				st := s.until("way back", func(st *state.Sync) bool { return st.State == shardferry.StateCommitted && st.Leg.Number == 3 })
				assert.Empty(t, st.Last.Failure)
				assert.True(t, s.logsIn(s.src, "d", "fresh", "f"))
				assert.True(t, s.logsIn(s.src, "admin", "bob", "b3"))
				assert.False(t, s.logsIn(s.src, "d", "alice", "a"))
				assert.False(t, s.logsIn(s.src, "admin", "keeper", "k"))
				assert.True(t, s.logsIn(s.src, "admin", "operator", "p"))
				assert.True(t, s.logsIn(s.dst, "admin", "keeper", "k"))
				s.noTraces()
			})
		})
	}
}

// The roles that the documentation names are enough.
func TestUsersComeWithTheRolesForIt(t *testing.T) {
	mover := mongotest.User{Name: "mover", Password: "p", DB: "admin"}
	for _, r := range []string{"backup", "restore", "clusterAdmin", "readWriteAnyDatabase", "dbAdminAnyDatabase"} {
		mover.Roles = append(mover.Roles, mongotest.Role{Role: r, DB: "admin"})
	}
	set := setting{auth: true, dstUser: "mover", dstUsers: []mongotest.User{mover, itsOwn[1], {Name: "operator", Password: "p", DB: "admin", Roles: users[0].Roles}}}
	set.srcUser = "ferryman"
	play(t, set, func(t *testing.T, s *stage) {
		s.on(s.from, "admin", createUser("ferryman", "p", "backup", "restore", "clusterAdmin", "readWriteAnyDatabase", "dbAdminAnyDatabase"))
		s.on(s.to, "admin", bson.D{{"dropUser", "operator"}}) // or he is a conflict
		s.staffed()
		s.on(s.from, "d", bson.D{{"dropRole", "reader"}})
		s.commit()
		s.reach(shardferry.StateCommitted)
		require.NoError(t, s.insertsAs(s.dst, "d", "alice", "a", "c"))
		s.on(s.to, "d", bson.D{{"dropUser", "alice"}})
		s.on(s.to, "d", bson.D{{"dropRole", "writer"}})
		require.NoError(t, s.node.Rollback(t.Context(), "test"))
		s.until("way back", func(st *state.Sync) bool { return st.State == shardferry.StateCommitted && st.Leg.Number == 3 })
		assert.False(t, s.logsIn(s.src, "d", "alice", "a"))
		assert.True(t, s.logsIn(s.src, "admin", "ferryman", "p"))
	})
}

// A commit that is given up after users came may be followed by one that finds
// them changed.
func TestUsersChangeBetweenTwoCommits(t *testing.T) {
	play(t, setting{auth: true, dstUsers: itsOwn}, func(t *testing.T, s *stage) {
		s.staffed()
		require.NoError(t, s.insert(s.to, 99)) // by somebody who may write past the block
		s.commit()
		st := s.until("end", func(st *state.Sync) bool { return st.State == shardferry.StateRunning && st.Last != nil })
		assert.Contains(t, st.Last.Failure, "the clusters differ")
		assert.True(t, s.logsIn(s.dst, "d", "alice", "a"))
		s.noTraces()

		_, err := s.to.Database("d").Collection("c").DeleteOne(t.Context(), bson.D{{"_id", 99}})
		require.NoError(t, err)
		s.on(s.from, "d", bson.D{{"updateUser", "alice"}, {"pwd", "a2"}})
		s.on(s.from, "d", bson.D{{"dropUser", "leaver"}})
		s.on(s.from, "d", bson.D{{"grantPrivilegesToRole", "writer"}, {"privileges", bson.A{
			bson.D{{"resource", bson.D{{"db", "d"}, {"collection", "other"}}}, {"actions", bson.A{"insert"}}},
		}}})
		s.on(s.from, "d", createRole("more", []any{}, "insert", "third"))
		s.on(s.from, "d", bson.D{{"grantRolesToRole", "writer"}, {"roles", bson.A{"more"}}})
		s.on(s.from, "d", bson.D{{"dropRole", "reader"}})
		s.commit()
		st = s.reach(shardferry.StateCommitted)
		assert.Empty(t, st.Last.Failure)
		assert.False(t, s.logsIn(s.dst, "d", "alice", "a"))
		assert.False(t, s.logsIn(s.dst, "d", "leaver", "l"))
		require.NoError(t, s.insertsAs(s.dst, "d", "alice", "a2", "other"))
		require.NoError(t, s.insertsAs(s.dst, "d", "alice", "a2", "third"))
		n, err := s.to.Database("admin").Collection("system.roles").CountDocuments(t.Context(), bson.D{{"_id", "d.reader"}})
		require.NoError(t, err)
		assert.Zero(t, n)
		assert.True(t, s.logsIn(s.dst, "admin", "keeper", "k"))
		s.noTraces()
	})
}

// A user that both clusters have in other forms is named, before anything is
// changed or, if he came later, by a commit that is given up.
func TestConflictingUsersAreNamed(t *testing.T) {
	play(t, setting{auth: true, dstUsers: itsOwn}, func(t *testing.T, s *stage) {
		s.up()
		s.on(s.from, "d", createUser("twin", "1", "read"))
		s.on(s.to, "d", createUser("twin", "2", "read"))
		err := s.startWithUsers()
		require.ErrorIs(t, err, api.ErrRefused)
		require.ErrorContains(t, err, "user twin@d: drop it on one of them")
		st, _ := s.node.State()
		assert.Equal(t, shardferry.StateIdle, st.State)
		s.on(s.to, "d", bson.D{{"dropUser", "twin"}})

		require.NoError(t, s.startWithUsers())
		s.stream()
		s.on(s.to, "d", createUser("twin", "3", "read"))
		s.commit()
		st = s.until("end", func(st *state.Sync) bool { return st.State == shardferry.StateRunning && st.Last != nil })
		assert.Contains(t, st.Last.Failure, "user twin@d")
		require.NoError(t, s.insert(s.app, 1), "the source is open again")
		assert.True(t, s.logsIn(s.dst, "d", "twin", "3"))
		s.noTraces()

		s.on(s.to, "d", bson.D{{"dropUser", "twin"}})
		s.commit()
		s.reach(shardferry.StateCommitted)
		assert.True(t, s.logsIn(s.dst, "d", "twin", "1"))
	})
}

// Whoever may not bring users over is told before anything is changed.
func TestUsersThatCannotComeAreRefused(t *testing.T) {
	of := func(roles ...string) []mongotest.User {
		u := mongotest.User{Name: "mover", Password: "p", DB: "admin"}
		for _, r := range append(roles, "clusterAdmin", "readWriteAnyDatabase") {
			u.Roles = append(u.Roles, mongotest.Role{Role: r, DB: "admin"})
		}
		return append([]mongotest.User{u}, itsOwn...)
	}
	for name, tt := range map[string]struct {
		set     setting
		prepare func(s *stage)
		req     api.StartRequest
		is      error
		says    string
	}{
		"not readable on the source":      {set: setting{srcUser: "clerk", dstUsers: itsOwn}, is: api.ErrRefused, says: "source: we may not read users and roles: grant our user the role backup"},
		"not readable on the destination": {set: setting{dstUser: "mover", dstUsers: of()}, is: api.ErrRefused, says: "destination: we may not read users and roles"},
		"not taken by the destination":    {set: setting{dstUser: "mover", dstUsers: of("backup")}, is: api.ErrRefused, says: "destination: it does not take users and roles from us"},
		"a restore is on its way": {
			set: setting{dstUsers: itsOwn}, is: api.ErrRefused, says: "admin.tempusers or admin.temproles exists",
			prepare: func(s *stage) { s.on(s.to, "admin", bson.D{{"create", "tempusers"}}) },
		},
		"a part of the cluster": {
			set: setting{dstUsers: itsOwn}, is: api.ErrBadRequest, says: "withUsers: users and roles belong to the whole cluster",
			req: api.StartRequest{Selection: onlyShop},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tt.set.auth = true
			play(t, tt.set, func(t *testing.T, s *stage) {
				s.up()
				if tt.prepare != nil {
					tt.prepare(s)
				}
				tt.req.Source, tt.req.Destination, tt.req.WithUsers = "cluster0", "cluster1", true
				err := s.node.Start(t.Context(), tt.req, "test")
				require.ErrorIs(t, err, tt.is)
				require.ErrorContains(t, err, tt.says)
				st, _ := s.node.State()
				assert.Equal(t, shardferry.StateIdle, st.State)
			})
		})
	}
}

// Credentials that a node sent before it died, and that reach the destination
// when all is over, find no place there.
func TestCredentialsThatComeLateAreNotKept(t *testing.T) {
	play(t, setting{dir: filepath.Join(t.TempDir(), "data"), auth: true, dstUsers: itsOwn}, func(t *testing.T, s *stage) {
		s.staffed()
		met := make(chan struct{})
		var once sync.Once
		late := bson.D{}
		s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, _ *state.Sync) mongotest.Fault {
			if coll, _ := c.Body.Lookup("insert").StringValueOK(); on != s.dst || coll != "tempusers" {
				return mongotest.Fault{}
			}
			once.Do(func() {
				for _, field := range []string{"insert", "documents", "collectionUUID"} {
					if v, err := bson.Raw(bytes.Clone(c.Body)).LookupErr(field); err == nil {
						late = append(late, bson.E{Key: field, Value: v})
					}
				}
				s.faults.end()
				close(met)
			})
			return mongotest.Fault{DropRequest: true}
		})
		s.commit()
		s.meets(met)
		s.kill()
		s.up()
		s.reach(shardferry.StateCommitted)
		err := s.to.Database("admin").RunCommand(t.Context(), late).Err()
		require.Error(t, err, "it is taken for another collection's")
		assert.True(t, mongoconn.IsCode(err, mongoconn.CodeCollectionUUIDMismatch), "%v", err)
		s.noTraces()
	})
}

// carryMoments are the commands that bring users over.
var carryMoments = []struct{ command, coll string }{
	{"insert", "tempusers"}, {"_mergeAuthzCollections", ""}, {"drop", "temproles"},
}

// strikesWhileCarrying lets the node hear nothing more from such a command on.
func (s *stage) strikesWhileCarrying(command, coll string, late bool) <-chan struct{} {
	met := make(chan struct{})
	var once sync.Once
	s.faults.set(func(on *mongotest.Cluster, c mongotest.Command, st *state.Sync) mongotest.Fault {
		first, _ := c.Body.Lookup(command).StringValueOK()
		if !ours(c) || on != s.dst || c.Name != command || coll != "" && first != coll || st.Leg.Cutover == nil || st.Leg.Number != 1 {
			return mongotest.Fault{}
		}
		assert.True(s.t, st.Accounts.Temporary, "credentials are written before it was recorded")
		once.Do(func() {
			s.faults.end()
			close(met)
		})
		return mongotest.Fault{DropRequest: !late, DropReply: late}
	})
	return met
}

// A node that dies while it brings users over goes on with it, or clears up what
// it needed for it, and never writes down what nobody may know.
func TestBringingUsersSurvivesACrash(t *testing.T) {
	for _, at := range carryMoments {
		for when, late := range testedDeaths {
			for how, wait := range map[string]time.Duration{"at once": 0, "past the budget": 10 * time.Minute} {
				t.Run(at.command+" "+when+", "+how, func(t *testing.T) {
					play(t, setting{dir: filepath.Join(t.TempDir(), "data"), auth: true, dstUsers: itsOwn}, func(t *testing.T, s *stage) {
						var log bytes.Buffer
						s.staffed()
						met := s.strikesWhileCarrying(at.command, at.coll, late)
						s.commit()
						s.meets(met)
						s.kill()
						s.on(s.from, "d", createUser("newcomer", "n")) // a write block does not keep users out
						time.Sleep(wait)
						cfg := s.config()
						cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
						s.run(cfg)
						<-s.node.Ready()
						if wait > 0 {
							st := s.until("end", func(st *state.Sync) bool { return st.State == shardferry.StateRunning && st.Last != nil })
							assert.Contains(t, st.Last.Failure, "the time budget ran out")
							require.NoError(t, s.insert(s.app, 50), "the source is open again")
							s.noTraces()
							s.commit()
						}
						st := s.reach(shardferry.StateCommitted)
						assert.Empty(t, st.Last.Failure)
						assert.False(t, st.Accounts.Temporary)
						assert.Contains(t, st.Accounts.Carried, shardferry.Account{ID: "d.newcomer"})
						assert.True(t, s.logsIn(s.dst, "d", "newcomer", "n"))
						require.NoError(t, s.insertsAs(s.dst, "d", "alice", "a", "c"))
						assert.True(t, s.logsIn(s.dst, "admin", "keeper", "k"))
						s.noTraces()
						secrets := s.secrets(s.from)
						s.down()
						seen := log.Bytes()
						files, err := filepath.Glob(filepath.Join(s.dir, "*"))
						require.NoError(t, err)
						require.NotEmpty(t, files)
						require.NoError(t, filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
							if err != nil || d.IsDir() {
								return err
							}
							b, err := os.ReadFile(path)
							seen = append(seen, b...)
							return err
						}))
						assert.Contains(t, string(seen), "d.alice", "what is searched is what was recorded")
						for _, secret := range secrets {
							assert.NotContains(t, string(seen), string(secret))
						}
					})
				})
			}
		}
	}
}
