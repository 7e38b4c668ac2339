package verify

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/internal/mongoconn"
	"github.com/shardferry/shardferry/topology"
)

// metadata compares what is not in documents: which collections and views
// exist, their options, indexes and shard keys. A difference counts if it is
// there at every reading: a schema change reaches one side before the other.
func (c *comparison) metadata(ctx context.Context) error {
	var lasting []Difference
	for attempt := range c.cfg.Rechecks {
		if attempt > 0 {
			if err := mongoconn.Sleep(ctx, c.cfg.Pause); err != nil {
				return err
			}
		}
		m := catalogues{cfg: c.cfg}
		if err := m.compare(ctx); err != nil {
			return err
		}
		if attempt > 0 {
			m.found = slices.DeleteFunc(m.found, func(d Difference) bool { return !slices.Contains(lasting, d) })
		}
		c.capped = m.capped
		if lasting = m.found; len(lasting) == 0 {
			return nil
		}
	}
	for _, d := range lasting {
		c.out.differ(d)
	}
	return nil
}

// catalogues compares both catalogues once.
type catalogues struct {
	cfg   Config
	found []Difference

	capped []Pair // on both sides
}

func (c *catalogues) differ(d Difference) { c.found = append(c.found, d) }

func (c *catalogues) compare(ctx context.Context) error {
	here, err := topology.Discover(ctx, c.cfg.Source)
	if err != nil {
		return fmt.Errorf("read the source: %w", err)
	}
	there, err := topology.Discover(ctx, c.cfg.Destination)
	if err != nil {
		return fmt.Errorf("read the destination: %w", err)
	}
	for _, pair := range c.cfg.Pairs {
		c.comparePair(pair, here, there)
	}
	for _, pair := range c.cfg.Views {
		c.comparePair(pair, here, there)
	}
	if c.cfg.Still {
		c.unlisted(here, there)
	}
	return nil
}

func (c *catalogues) comparePair(pair Pair, here, there *topology.Cluster) {
	a, okA := find(here, pair.Source)
	b, okB := find(there, pair.Destination)
	if !okA || !okB {
		if okA != okB {
			c.differ(Difference{Kind: Namespace, NS: pair.Source, Detail: "it is missing on the " + side(okA)})
		}
		return
	}
	if a.Capped() && b.Capped() {
		c.capped = append(c.capped, pair)
	}
	x, y := c.options(a), c.options(b)
	if !bytes.Equal(x, y) {
		c.differ(Difference{Kind: Options, NS: pair.Source, Detail: fmt.Sprintf("source %s, destination %s", x, y)})
	}
	c.compareIndexes(pair, a, b)
	if !c.cfg.Unsharded && !sameKey(a.ShardKey, b.ShardKey) {
		c.differ(Difference{Kind: ShardKey, NS: pair.Source, Detail: fmt.Sprintf("source %s, destination %s", a.ShardKey, b.ShardKey)})
	}
}

// side names the cluster that lacks something the source has, or has not.
func side(onSource bool) string {
	if onSource {
		return "destination"
	}
	return "source"
}

// options returns a collection's options in comparable form. The size of a
// capped collection, and when documents of a clustered one expire, is left out
// while it is loose.
func (c *catalogues) options(coll *topology.Collection) bson.Raw {
	normal := topology.NormalOptions(coll.Options)
	if !c.cfg.Relaxed {
		return normal
	}
	elems, err := normal.Elements()
	if err != nil {
		return normal
	}
	out := bson.D{}
	for _, e := range elems {
		if e.Key() != "size" && e.Key() != "max" && e.Key() != "expireAfterSeconds" {
			out = append(out, bson.E{Key: e.Key(), Value: e.Value()})
		}
	}
	return mustMarshal(out)
}

func (c *catalogues) compareIndexes(pair Pair, a, b *topology.Collection) {
	for _, spec := range a.Indexes {
		name := topology.IndexName(spec)
		got, ok := index(b, name)
		switch {
		case !ok && c.cfg.Relaxed && topology.HasTwin(b.Indexes, spec): // it is built in the commit
		case !ok:
			c.differ(Difference{Kind: Indexes, NS: pair.Source, ID: name, Detail: "it is missing on the destination"})
		case topology.SameIndex(spec, got):
		case c.cfg.Relaxed && topology.SameRelaxed(spec, got):
		default:
			c.differ(Difference{Kind: Indexes, NS: pair.Source, ID: name, Detail: fmt.Sprintf("source %s, destination %s", spec, got)})
		}
	}
	for _, spec := range b.Indexes {
		name := topology.IndexName(spec)
		if _, ok := index(a, name); !ok {
			c.differ(Difference{Kind: Indexes, NS: pair.Source, ID: name, Detail: "it is only on the destination"})
		}
	}
}

// unlisted reports collections and views that are on a side but not among what
// was to be compared.
func (c *catalogues) unlisted(here, there *topology.Cluster) {
	known := map[bool]map[shardferry.Namespace]bool{true: {}, false: {}}
	for _, pairs := range [][]Pair{c.cfg.Pairs, c.cfg.Views} {
		for _, p := range pairs {
			known[true][p.Source], known[false][p.Destination] = true, true
		}
	}
	for onSource, cluster := range map[bool]*topology.Cluster{true: here, false: there} {
		for _, coll := range cluster.Collections {
			if !known[onSource][coll.NS] && (c.cfg.Ignore == nil || !c.cfg.Ignore(coll.NS, onSource)) {
				c.differ(Difference{Kind: Namespace, NS: coll.NS, Detail: "it is on the " + side(!onSource) + ", and nobody expects it there"})
			}
		}
	}
}

func find(c *topology.Cluster, ns shardferry.Namespace) (*topology.Collection, bool) {
	for i := range c.Collections {
		if c.Collections[i].NS == ns {
			return &c.Collections[i], true
		}
	}
	return nil, false
}

func index(c *topology.Collection, name string) (bson.Raw, bool) {
	for _, spec := range c.Indexes {
		if topology.IndexName(spec) == name {
			return spec, true
		}
	}
	return nil, false
}

func sameKey(a, b bson.Raw) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	return topology.SameIndex(mustMarshal(bson.D{{"key", a}}), mustMarshal(bson.D{{"key", b}}))
}
