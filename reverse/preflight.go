package reverse

import (
	"context"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/shardferry/shardferry/internal/mongoconn"
)

// Ability says what the users of the two clusters may do.
type Ability struct {
	BypassSource      bool // may write to the source while it is write-blocked
	BypassDestination bool // the same on the destination
}

// Preflight asks both clusters what our users may do there.
func Preflight(ctx context.Context, source, destination *mongo.Client) (Ability, error) {
	var a Ability
	var err error
	if a.BypassSource, err = mongoconn.CanBypassWriteBlock(ctx, source); err != nil {
		return a, fmt.Errorf("source: %w", err)
	}
	if a.BypassDestination, err = mongoconn.CanBypassWriteBlock(ctx, destination); err != nil {
		return a, fmt.Errorf("destination: %w", err)
	}
	return a, nil
}

// Reversible reports whether the old source can be kept current after a commit,
// while applications must not write to it, and the same the other way round.
func (a Ability) Reversible() bool { return a.BypassSource && a.BypassDestination }

// Warnings says in words what the users' abilities rule out.
func (a Ability) Warnings() []string {
	var w []string
	if !a.BypassDestination {
		w = append(w, "the destination is not write-blocked during the sync, because our user there may not bypass a write block: keep applications away from it, or grant the role restore")
	}
	if !a.Reversible() {
		w = append(w, "there will be no way back after the commit, because our user on the "+strings.Join(a.lacking(), " and on the ")+" may not bypass a write block: grant the role restore there to keep it open")
	}
	return w
}

// lacking names the clusters on which our user may not pass a write block.
func (a Ability) lacking() []string {
	var names []string
	if !a.BypassSource {
		names = append(names, "source")
	}
	if !a.BypassDestination {
		names = append(names, "destination")
	}
	return names
}
