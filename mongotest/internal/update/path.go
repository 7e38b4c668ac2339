package update

import (
	"strings"

	"github.com/shardferry/shardferry/mongotest/internal/mongoerr"
)

// parsePath splits an update path and refuses what no update can address.
func parsePath(path string) ([]string, error) {
	parts := strings.Split(path, ".")
	positional := 0
	for i, p := range parts {
		switch {
		case p == "":
			return nil, mongoerr.New(mongoerr.EmptyFieldName, "The update path '%s' contains an empty field name, which is not allowed.", path)
		case p == "$" || strings.HasPrefix(p, "$["):
			if i == 0 {
				return nil, mongoerr.New(mongoerr.BadValue, "Cannot have positional (i.e. '$') element in the first position in path '%s'", path)
			}
			if p == "$" {
				positional++
			} else if !strings.HasSuffix(p, "]") {
				return nil, mongoerr.New(mongoerr.BadValue, "The array filter for path '%s' is not closed by ']'", path)
			}
		}
	}
	if positional > 1 {
		return nil, mongoerr.New(mongoerr.BadValue, "Too many positional (i.e. '$') elements found in path '%s'", path)
	}
	return parts, nil
}

// filterID returns the identifier of a "$[id]" component; "" is all elements.
func filterID(comp string) (id string, ok bool) {
	if !strings.HasPrefix(comp, "$[") {
		return "", false
	}
	return comp[2 : len(comp)-1], true
}

// trie holds the paths of one update to find those that touch one another.
type trie struct {
	kids map[string]*trie
	leaf bool
}

// add takes a path for an operator. A path that equals, contains or lies in
// one taken before is a conflict.
func (t *trie) add(path string, parts []string) error {
	at := t
	for i, p := range parts {
		next := at.kids[p]
		if next == nil {
			next = &trie{}
			if at.kids == nil {
				at.kids = map[string]*trie{}
			}
			at.kids[p] = next
		} else if next.leaf || i == len(parts)-1 {
			return conflict(path, strings.Join(parts[:i+1], "."))
		}
		at = next
	}
	at.leaf = true
	return nil
}

func conflict(path, at string) error {
	return mongoerr.New(mongoerr.ConflictingUpdateOperators, "Updating the path '%s' would create a conflict at '%s'", path, at)
}
