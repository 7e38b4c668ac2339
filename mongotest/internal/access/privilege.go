package access

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
	"github.com/shardferry/shardferry/mongotest/internal/value"
)

// A Resource is what actions are done to: the cluster, everything, or the
// collections that DB and Coll match. An empty Coll is the database with all
// its collections but the system's, an empty DB is every database but local
// and config.
type Resource struct {
	Cluster, Any bool
	DB, Coll     string
}

// A Privilege allows some actions on a resource.
type Privilege struct {
	Resource Resource
	Actions  []string
}

// A Need is one action that a command does.
type Need struct {
	Resource Resource
	Action   string
}

// Privileges are what a user may do.
type Privileges []Privilege

// anyAction is the action that stands for all of them.
const anyAction = "anyAction"

// Allow reports whether the privileges cover a need.
func (ps Privileges) Allow(n Need) bool {
	return slices.ContainsFunc(ps, func(p Privilege) bool {
		return p.Resource.covers(n.Resource) && (slices.Contains(p.Actions, n.Action) || slices.Contains(p.Actions, anyAction))
	})
}

// SeeDB reports whether the privileges allow anything in a database, so that
// listDatabases shows it.
func (ps Privileges) SeeDB(db string) bool {
	return slices.ContainsFunc(ps, func(p Privilege) bool {
		r := p.Resource
		return r.Any || !r.Cluster && (r.DB == db || r.DB == "" && !hasOwnRules(db))
	})
}

// SeeCollection reports whether the privileges allow to read a collection, so
// that listCollections with authorizedCollections shows it.
func (ps Privileges) SeeCollection(db, coll string) bool {
	return ps.Allow(Need{Resource{DB: db, Coll: coll}, "find"})
}

// covers reports whether a privilege on r is one on target.
func (r Resource) covers(target Resource) bool {
	switch {
	case r.Any:
		return true
	case r.Cluster || target.Cluster || target.Any:
		return r.Cluster && target.Cluster
	case r.DB != "" && r.DB != target.DB:
		return false
	case r.Coll != "":
		return r.Coll == target.Coll
	default:
		return !strings.HasPrefix(target.Coll, "system.") && (r.DB != "" || !hasOwnRules(target.DB))
	}
}

// hasOwnRules reports whether roles on "any database" leave db out.
func hasOwnRules(db string) bool { return db == "local" || db == "config" }

// BSON returns the resource as users and roles spell it.
func (r Resource) BSON() bson.Raw {
	switch {
	case r.Any:
		return value.D("anyResource", true)
	case r.Cluster:
		return value.D("cluster", true)
	default:
		return value.D("db", r.DB, "collection", r.Coll)
	}
}

// BSON returns the privilege as {resource, actions}.
func (p Privilege) BSON() bson.Raw {
	return value.D("resource", p.Resource.BSON(), "actions", p.Actions)
}

// BSON returns the privileges, those on one resource joined.
func (ps Privileges) BSON() []bson.Raw {
	out := []bson.Raw{}
	for _, p := range ps.merged() {
		out = append(out, p.BSON())
	}
	return out
}

// merged returns one privilege for each resource, its actions sorted.
func (ps Privileges) merged() Privileges {
	var out Privileges
	for _, p := range ps {
		i := slices.IndexFunc(out, func(q Privilege) bool { return q.Resource == p.Resource })
		if i < 0 {
			out = append(out, Privilege{Resource: p.Resource})
			i = len(out) - 1
		}
		out[i].Actions = append(out[i].Actions, p.Actions...)
	}
	for i := range out {
		slices.Sort(out[i].Actions)
		out[i].Actions = slices.Compact(out[i].Actions)
	}
	return out
}

// Without returns the privileges less the actions of others on the same
// resources.
func (ps Privileges) Without(others Privileges) Privileges {
	var out Privileges
	for _, p := range ps.merged() {
		for _, o := range others {
			if o.Resource == p.Resource {
				p.Actions = slices.DeleteFunc(p.Actions, func(a string) bool { return slices.Contains(o.Actions, a) })
			}
		}
		if len(p.Actions) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// ParsePrivileges reads the privileges that a role is given: an array of
// {resource, actions}.
func ParsePrivileges(docs []bson.Raw) (Privileges, error) {
	var out Privileges
	for _, d := range docs {
		resource, ok := d.Lookup("resource").DocumentOK()
		if !ok {
			return nil, mongoerr.New(mongoerr.IDLFailedToParse, "BSON field 'privileges.resource' is missing but a required field")
		}
		r, err := parseResource(resource)
		if err != nil {
			return nil, err
		}
		p := Privilege{Resource: r}
		actions, ok := d.Lookup("actions").ArrayOK()
		if !ok {
			return nil, mongoerr.New(mongoerr.IDLFailedToParse, "BSON field 'privileges.actions' is missing but a required field")
		}
		for _, v := range value.Elements(bson.Raw(actions)) {
			a, _ := v.StringValueOK()
			if !knownActions[a] {
				return nil, mongoerr.New(mongoerr.BadValue, "Unrecognized action privilege strings: %s", a)
			}
			p.Actions = append(p.Actions, a)
		}
		out = append(out, p)
	}
	return out.merged(), nil
}

func parseResource(d bson.Raw) (Resource, error) {
	var r Resource
	r.Any, _ = d.Lookup("anyResource").BooleanOK()
	r.Cluster, _ = d.Lookup("cluster").BooleanOK()
	db, hasDB := d.Lookup("db").StringValueOK()
	coll, hasColl := d.Lookup("collection").StringValueOK()
	r.DB, r.Coll = db, coll
	if hasDB != hasColl || !hasDB && !r.Any && !r.Cluster || hasDB && (r.Any || r.Cluster) {
		return r, mongoerr.New(mongoerr.BadValue, "%s is no resource: it must be {db, collection}, {cluster: true} or {anyResource: true}", d)
	}
	return r, nil
}
