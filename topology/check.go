package topology

import (
	"fmt"
	"strings"
)

// A Problem is a reason why a sync cannot or should not start.
type Problem struct {
	What   string // what was found, and where
	Advice string // what to do about it
	Fatal  bool   // the sync is refused
}

func (p Problem) String() string { return p.What + ": " + p.Advice }

var oldest = Version{Major: 6}

// Check compares two clusters and lists what stands in the way of a sync from
// src to dst, fatal problems first.
func Check(src, dst *Cluster) []Problem {
	var fatal, warn []Problem
	refuse := func(advice, format string, args ...any) {
		fatal = append(fatal, Problem{What: fmt.Sprintf(format, args...), Advice: advice, Fatal: true})
	}
	if src.ID == dst.ID {
		refuse("give two different clusters", "source and destination are the same cluster (%s)", src.ID)
		return fatal // whatever else was said would be about the source's own data
	}
	ends := []struct {
		name string
		*Cluster
	}{{"source", src}, {"destination", dst}}
	for _, c := range ends {
		if c.Version.Less(oldest) {
			refuse("upgrade it first", "the %s runs %d.%d, older than 6.0", c.name, c.Version.Major, c.Version.Minor)
		}
	}
	if dst.Version.Less(src.Version) {
		refuse("upgrade the destination", "the destination runs %d.%d, older than the source's %d.%d",
			dst.Version.Major, dst.Version.Minor, src.Version.Major, src.Version.Minor)
	}
	if len(dst.Collections) > 0 {
		refuse("drop them, or sync into an empty cluster", "the destination is not empty: it holds %s", someNames(dst.Collections))
	}
	for i := range src.Collections {
		fatal = append(fatal, src.Collections[i].problems()...)
	}
	for i := range src.Collections {
		if len(src.Collections[i].Zones) > 0 && len(newPlacer(src, dst).pairs) == 0 {
			warn = append(warn, Problem{
				What:   fmt.Sprintf("%s has zones, and the clusters differ in their shards", src.Collections[i].NS),
				Advice: "its zones are left out; set them up on the destination after the commit",
			})
		}
	}
	for _, c := range ends {
		if c.BalancerOn {
			warn = append(warn, Problem{
				What:   fmt.Sprintf("the balancer of the %s is on", c.name),
				Advice: "it is stopped now, unless --keep-balancer is given for the source's; start it again yourself when the way back is closed",
			})
		}
	}
	return append(fatal, warn...)
}

func (c *Collection) problems() []Problem {
	var found []Problem
	refuse := func(what, advice string) {
		found = append(found, Problem{What: fmt.Sprintf("%s %s", c.NS, what), Advice: advice, Fatal: true})
	}
	if c.Type != TypeCollection && c.Type != TypeView {
		refuse("is a "+c.Type+" collection, which is not supported", "drop it, or move it by mongodump and mongorestore")
	}
	if _, ok := c.Option("encryptedFields"); ok {
		refuse("uses queryable encryption, which is not supported", "move it by its own means")
	}
	if len(c.ShardKey) > 0 && len(c.Chunks) == 0 {
		refuse("is sharded but config.chunks has no chunk of it", "ask the config servers what became of it")
	}
	if len(c.ShardKey) > 0 {
		if _, err := shardKeyIndex(c); err != nil {
			refuse(err.Error(), "create an index that begins with the shard key")
		}
	}
	return found
}

const namesShown = 5

func someNames(colls []Collection) string {
	var names []string
	for i, c := range colls {
		if i == namesShown {
			names = append(names, fmt.Sprintf("and %d more", len(colls)-namesShown))
			break
		}
		names = append(names, c.NS.String())
	}
	return strings.Join(names, ", ")
}
