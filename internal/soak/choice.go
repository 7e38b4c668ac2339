package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
)

// A choice is what a sync is asked to take of the source, and under which names.
// Beside the request stands by hand what it means, so that nothing here is
// computed as the product does it.
type choice struct {
	name  string
	often int
	asked shardferry.Selection
	// goes says where a collection of the source is on the destination, "" if it
	// is not to be there. nil: all go where they are. Stored JavaScript is asked for
	// as a collection, system.js.
	goes func(db, name string) string
	free []string // names on the destination that other collections have by it
}

func rules(db string, colls ...string) shardferry.NamespaceRule {
	return shardferry.NamespaceRule{Database: db, Collections: colls}
}

func matching(db, coll, options string) shardferry.NamespaceRule {
	r := shardferry.NamespaceRule{DatabaseRegex: &shardferry.Regex{Pattern: db}}
	if coll != "" {
		r.CollectionsRegex = &shardferry.Regex{Pattern: coll, Options: options}
	}
	return r
}

func database(from, to string) shardferry.DatabaseRemap {
	return shardferry.DatabaseRemap{From: shardferry.DatabaseName{Database: from}, To: shardferry.DatabaseName{Database: to}}
}

func collection(from, to string) shardferry.CollectionRemap {
	fromDB, fromColl, _ := strings.Cut(from, ".")
	toDB, toColl, _ := strings.Cut(to, ".")
	return shardferry.CollectionRemap{
		From: shardferry.CollectionName{Database: fromDB, Collection: fromColl},
		To:   shardferry.CollectionName{Database: toDB, Collection: toColl},
	}
}

// taking keeps the name of what fits, and leaves out the rest.
func taking(fits func(db, name string) bool) func(db, name string) string {
	return func(db, name string) string {
		if fits(db, name) {
			return db + "." + name
		}
		return ""
	}
}

// renaming looks up the name of a collection, or else that of its database.
func renaming(names map[string]string) func(db, name string) string {
	return func(db, name string) string {
		if to, ok := names[db+"."+name]; ok {
			return to
		}
		if to, ok := names[db]; ok {
			return to + "." + name
		}
		return db + "." + name
	}
}

// choices are all there are.
func choices() []choice {
	type selection = shardferry.Selection
	type some = []shardferry.NamespaceRule
	return append([]choice{
		{name: "everything", often: 12},
		{
			name: "include a database", often: 1, asked: selection{Include: some{rules("a")}},
			goes: taking(func(db, _ string) bool { return db == "a" }),
		},
		{
			name: "exclude a database", often: 1, asked: selection{Exclude: some{rules("a")}},
			goes: taking(func(db, _ string) bool { return db != "a" }),
		},
		{
			name: "include collections", often: 1, asked: selection{Include: some{rules("b"), rules("a", "c0", "größe", "with.dots", "made")}},
			goes: taking(func(db, name string) bool {
				return db == "b" || slices.Contains([]string{"c0", "größe", "with.dots", "made"}, name)
			}),
		},
		{
			name: "exclude collections", often: 1, asked: selection{Exclude: some{rules("a", "c0", "C0", "aside"), rules("b", "c3", "fs.chunks", "viewf1")}},
			goes: taking(func(db, name string) bool {
				if db == "a" {
					return name != "c0" && name != "C0" && name != "aside"
				}
				return name != "c3" && name != "fs.chunks" && name != "viewf1"
			}),
		},
		{
			name: "include by an expression", often: 1, asked: selection{Include: some{matching("^[a-z]$", "^c[0-2]|CHUNKS|size|^g|view", "i")}},
			goes: taking(func(_, name string) bool {
				return slices.Contains([]string{"c0", "c1", "c2", "C0", "fs.chunks", "files.chunks", "größe"}, name) || strings.HasPrefix(name, "view")
			}),
		},
		{
			name: "exclude by an expression, within what is included", often: 1,
			asked: selection{Include: some{rules("a"), matching("b", "", "")}, Exclude: some{matching(".", "[23]$", ""), matching("^a$", `\.`, "")}},
			goes: taking(func(db, name string) bool {
				return !strings.HasSuffix(name, "2") && !strings.HasSuffix(name, "3") && (db != "a" || !strings.Contains(name, "."))
			}),
		},
		{
			name: "rename a database", often: 1, asked: selection{Remap: []shardferry.DatabaseRemap{database("a", "store")}},
			goes: renaming(map[string]string{"a": "store"}), free: []string{"store.c0"},
		},
		{
			name: "two databases exchange their names", often: 1, asked: selection{Remap: []shardferry.DatabaseRemap{database("a", "b"), database("b", "a")}},
			goes: renaming(map[string]string{"a": "b", "b": "a"}),
		},
		{
			name: "rename a collection", often: 1, asked: selection{RemapCollections: []shardferry.CollectionRemap{collection("a.c0", "a.bills"), collection("b.größe", "b.size")}},
			goes: renaming(map[string]string{"a.c0": "a.bills", "b.größe": "b.size"}), free: []string{"a.bills", "b.size"},
		},
		{
			name: "collections exchange their names", often: 1,
			asked: selection{RemapCollections: []shardferry.CollectionRemap{
				collection("a.c0", "a.c1"), collection("a.c1", "a.c0"), collection("b.c1", "b.c2"), collection("b.c2", "b.c3"), collection("b.c3", "b.c1"),
			}},
			goes: renaming(map[string]string{"a.c0": "a.c1", "a.c1": "a.c0", "b.c1": "b.c2", "b.c2": "b.c3", "b.c3": "b.c1"}),
		},
		{
			name: "leave out and rename", often: 2,
			asked: selection{
				Include: some{matching("^(a|b)$", "", "")}, Exclude: some{rules("a", "c1", "c3"), rules("b", "c0")},
				Remap:            []shardferry.DatabaseRemap{database("b", "store"), database("a", "b")},
				RemapCollections: []shardferry.CollectionRemap{collection("b.c2", "store.bills"), collection("a.c0", "b.c1")},
			},
			goes: func(db, name string) string {
				switch db + "." + name {
				case "a.c1", "a.c3", "b.c0":
					return ""
				case "b.c2":
					return "store.bills"
				case "a.c0":
					return "b.c1"
				}
				return map[string]string{"a": "b", "b": "store"}[db] + "." + name
			},
		},
	}, chosenChoices()...)
}

// drawChoice chooses what is taken. What a history about a refusal is about must
// be among it, so that such histories take everything if they do not say.
func (p *Plan) drawChoice(r *rand.Rand, turn *Kind) {
	all := choices()
	p.Choice = all[0]
	defer func() { p.Accounts = p.Choice.asked.IsZero() && (r.IntN(2) == 0 || p.diesCarrying()) }()
	if p.diesCarrying() && !turn.choosy || (turn.holds != "" || turn.mayHold != "" || turn.caught) && !turn.choosy {
		return
	}
	var draw []choice
	for _, c := range all {
		for range c.often {
			draw = append(draw, c)
		}
	}
	p.Choice = one(r, draw...)
}

// taken reports whether a collection is to be on the destination.
func (p *Plan) taken(c coll) bool { return p.Choice.goes == nil || p.Choice.goes(c.db, c.name) != "" }

// keeps reports whether a collection has its own name there, within its database,
// so that a view may read it.
func (p *Plan) keeps(c coll) bool {
	if p.Choice.goes == nil || len(p.Choice.asked.RemapCollections) == 0 {
		return true
	}
	_, name, _ := strings.Cut(p.Choice.goes(c.db, c.name), ".")
	return name == c.name
}

// partly reports whether some collections are left out.
func partly(p *Plan) bool {
	return slices.ContainsFunc(allNames(), func(c coll) bool { return !p.taken(c) })
}

func allNames() []coll {
	var all []coll
	for _, db := range databases {
		for _, name := range names {
			all = append(all, coll{db: db, name: name, kind: "collection"})
		}
	}
	return all
}

// choiceKinds are changes that mean something only where something is left out or
// has another name.
func choiceKinds() []*Kind {
	renames := func(p *Plan) bool { return len(p.Choice.free) > 0 && len(p.Choice.asked.RemapCollections) > 0 }
	renamesDatabase := func(p *Plan) bool { return len(p.Choice.free) > 0 && len(p.Choice.asked.RemapCollections) == 0 }
	across := func(name string, often int, in, over bool) *Kind {
		return &Kind{name: "rename " + name, often: often, choosy: true, needs: partly, do: func(ctx context.Context, w *world, r *rand.Rand) error {
			return renameAcross(ctx, w, r, in, over)
		}}
	}
	return append([]*Kind{
		across("into the selection", 5, true, false),
		across("into the selection, over another", 4, true, true),
		across("out of the selection", 5, false, false),
		across("out of the selection, over another", 4, false, true),
		{
			name: "a database of a name that another one has there", choosy: true, needs: renamesDatabase,
			holds: "its name on the destination belongs to another database", mayHold: "keeps its name, which namespaceRemap gives to another one",
			do: func(ctx context.Context, w *world, r *rand.Rand) error { return w.create(ctx, w.free(r), r) },
		},
		{
			name: "a collection of a name that another one has there", choosy: true, needs: renames,
			holds: "its name on the destination belongs to another collection", mayHold: "keeps its name, which collectionRemap gives to another one",
			do: func(ctx context.Context, w *world, r *rand.Rand) error { return w.create(ctx, w.free(r), r) },
		},
		{
			name: "rename to a name that another one has there", choosy: true, needs: renames,
			holds: "its name on the destination belongs to another collection", mayHold: "keeps its name, which collectionRemap gives to another one",
			do: func(ctx context.Context, w *world, r *rand.Rand) error {
				to := w.free(r)
				from := coll{db: to.db, name: "aside"}
				if err := w.create(ctx, from, r); err != nil {
					return err
				}
				return w.admin(ctx, bson.D{{"renameCollection", from.ns()}, {"to", to.ns()}})
			},
		},
		{
			name: "a view of what has another name there", choosy: true, needs: renames, holds: "which is another collection on the destination by collectionRemap",
			do: func(ctx context.Context, w *world, _ *rand.Rand) error {
				on := w.plan.Choice.asked.RemapCollections[0].From
				return w.run(ctx, on.Database, bson.D{{"create", "reads"}, {"viewOn", on.Collection}, {"pipeline", bson.A{}}})
			},
		},
	}, chosenKinds()...)
}

// free returns a name that is not the source's to give: another collection has it
// on the destination.
func (w *world) free(r *rand.Rand) coll {
	db, name, _ := strings.Cut(one(r, w.plan.Choice.free...), ".")
	return coll{db: db, name: name}
}

// renameAcross renames a collection across the border of what is taken.
func renameAcross(ctx context.Context, w *world, r *rand.Rand, in, over bool) error {
	beyond := func(c coll) bool { return c.kind == "collection" && notChosen(c) && w.plan.taken(c) != in }
	c, err := w.pick(ctx, r, func(c coll) bool { return beyond(c) && (c.key == nil || !over) })
	if err != nil {
		return err
	}
	there, err := w.look(ctx)
	if err != nil {
		return err
	}
	var to []coll
	for _, n := range allNames() {
		at := slices.IndexFunc(there, func(t coll) bool { return t.ns() == n.ns() })
		fits := at < 0 && !over || at >= 0 && over && unsharded(there[at])
		if w.plan.taken(n) == in && fits && (c.key == nil || n.db == c.db) {
			to = append(to, n)
		}
	}
	if len(to) == 0 {
		return errNothing
	}
	return w.admin(ctx, bson.D{{"renameCollection", c.ns()}, {"to", one(r, to...).ns()}, {"dropTarget", over}})
}
