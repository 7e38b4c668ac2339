package node_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

// goes is where collections of d end in the story of random names: tmp1 and tmp2
// nowhere. There is none called c, whose name b has.
var goes = map[string]string{"a": "b", "b": "c", "e": "e", "f": "f"}

var underNames = shardferry.Selection{
	Exclude:          []shardferry.NamespaceRule{{Database: "d", CollectionsRegex: &shardferry.Regex{Pattern: "^tmp"}}},
	RemapCollections: renaming("d.a", "d.b", "d.b", "d.c"),
}

// A namer changes what collections are called, what becomes of them, and what is
// in them, at random.
type namer struct {
	*editor
	there   []string // the collections that exist
	sharded map[string]bool
}

func (n *namer) pick() string {
	return []string{"a", "b", "e", "f", "tmp1", "tmp2"}[n.rand.IntN(6)]
}

// run runs a command on a collection that is there.
func (n *namer) run(cmd bson.D) {
	n.t.Helper()
	require.NoError(n.t, n.from.Database("d").RunCommand(n.t.Context(), cmd).Err(), "%v", cmd)
}

func (n *namer) step() {
	n.t.Helper()
	name := n.pick()
	there := slices.Contains(n.there, name)
	switch kind := n.rand.IntN(12); {
	case !there:
		if n.srcShards > 0 && n.rand.IntN(2) == 0 {
			n.command(n.from, bson.D{{"shardCollection", "d." + name}, {"key", bson.D{{"x", 1}}}})
			n.command(n.from, bson.D{{"split", "d." + name}, {"middle", bson.D{{"x", 0}}}})
			n.sharded[name] = true
		} else {
			n.run(bson.D{{"create", name}})
		}
		n.there = append(n.there, name)
	case kind < 3:
		to := n.pick()
		if to == name {
			return
		}
		n.command(n.from, bson.D{{"renameCollection", "d." + name}, {"to", "d." + to}, {"dropTarget", true}})
		n.there = slices.DeleteFunc(n.there, func(s string) bool { return s == name || s == to })
		n.there = append(n.there, to)
		n.sharded[to] = n.sharded[name]
		delete(n.sharded, name)
	case kind == 3:
		n.run(bson.D{{"drop", name}})
		n.there = slices.DeleteFunc(n.there, func(s string) bool { return s == name })
		delete(n.sharded, name)
	case kind == 4:
		n.run(bson.D{{"createIndexes", name}, {"indexes", bson.A{bson.D{{"key", bson.D{{"n", 1}}}, {"name", "n"}}}}})
		n.run(bson.D{{"collMod", name}, {"index", bson.D{{"name", "n"}, {"hidden", true}}}})
		n.run(bson.D{{"collMod", name}, {"index", bson.D{{"name", "n"}, {"hidden", false}}}})
	case kind == 5:
		n.run(bson.D{{"createIndexes", name}, {"indexes", bson.A{bson.D{{"key", bson.D{{"m", 1}}}, {"name", "m"}, {"sparse", true}}}}})
		n.run(bson.D{{"collMod", name}, {"index", bson.D{{"name", "m"}, {"hidden", true}}}})
		n.run(bson.D{{"dropIndexes", name}, {"index", "m"}})
	case kind == 6 && n.sharded[name]:
		n.command(n.from, bson.D{{"moveChunk", "d." + name}, {"find", bson.D{{"x", -1}}}, {"to", n.src.Shards()[n.rand.IntN(n.srcShards)]}, {"_waitForDelete", true}})
	default:
		n.coll = n.app.Database("d").Collection(name)
		n.edit(10)
	}
}

// Whatever names collections take, inside and outside of the selection and over
// each other, and though the node dies: in the end each is on the destination under
// the name it has to have, and nothing else is.
func TestRandomNames(t *testing.T) {
	for _, shards := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			play(t, setting{srcShards: shards, dstShards: shards, batchDocs: 7, dir: filepath.Join(t.TempDir(), "data")}, func(t *testing.T, s *stage) {
				n := &namer{editor: s.editor(), sharded: map[string]bool{}}
				for range 30 {
					n.step()
				}
				s.up()
				s.slowCopy(100 * time.Millisecond)
				require.NoError(t, s.startWith(underNames))
				for i := range 60 {
					n.step()
					if n.rand.IntN(3) == 0 {
						time.Sleep(time.Duration(n.rand.IntN(700)) * time.Millisecond)
					}
					if i%25 == 24 {
						s.kill()
						n.step()
						s.up()
						s.slowCopy(100 * time.Millisecond)
					}
				}
				s.stream()
				s.arrives()
				var want []string
				for _, c := range holds(t, s.from) {
					name, docs, _ := strings.Cut(strings.TrimPrefix(c, "d."), " ")
					if to := goes[name]; to != "" {
						want = append(want, "d."+to+" "+docs)
					}
				}
				assert.ElementsMatch(t, want, holds(t, s.to))
			})
		})
	}
}
