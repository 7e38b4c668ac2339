package state

import (
	"errors"
	"fmt"
	"slices"

	"github.com/shardferry/shardferry"
)

// Accounts says which users and roles the two clusters share, if they come too.
// It has names only: credentials are never recorded.
type Accounts struct {
	Carried []shardferry.Account `bson:"carried,omitempty"` // on both clusters by our doing; sorted
	Own     []shardferry.Account `bson:"own,omitempty"`     // of the leg's source: they stay there
	// Temporary says that collections with credentials may be in the database
	// admin of the leg's destination.
	Temporary bool `bson:"temporary,omitempty"`
}

// Carrying records, before anything is written, which users and roles the
// destination will have by our doing, and that collections with credentials are
// there meanwhile.
type Carrying struct {
	Leg      int                  `bson:"leg"`
	Accounts []shardferry.Account `bson:"accounts"`
}

// Apply implements Command. It may be repeated, with others.
func (c Carrying) Apply(s *Sync) error {
	cut, err := s.cutover("carry users", c.Leg)
	switch {
	case err != nil:
		return err
	case !s.Job.WithUsers:
		return errors.New("carry users: nobody has asked for it")
	case cut.Carried:
		return errors.New("carry users: that is done")
	case cut.Step != StepDraining || !s.Leg.Drained():
		return fmt.Errorf("carry users: the commit is %s, and not all is applied", cut.Step)
	}
	s.Accounts.Carried = sortedAccounts(c.Accounts)
	s.Accounts.Temporary = true
	return nil
}

// Carried records that the collections with credentials are gone, and, unless
// the commit is being given up, that the destination has the users and roles.
type Carried struct {
	Leg      int                  `bson:"leg"`
	Accounts []shardferry.Account `bson:"accounts"` // those that both clusters have by our doing
}

// Apply implements Command. It may be repeated.
func (c Carried) Apply(s *Sync) error {
	cut, err := s.cutover("carried users", c.Leg)
	switch {
	case err != nil:
		return err
	case cut.Step != StepDraining && cut.Step != StepAborting:
		return fmt.Errorf("carried users: the commit is %s", cut.Step)
	case cut.Step == StepDraining && !s.Accounts.Temporary && !cut.Carried:
		return errors.New("carried users: it was not recorded that they are being carried")
	}
	cut.Carried = cut.Step == StepDraining
	s.Accounts.Carried = sortedAccounts(c.Accounts)
	s.Accounts.Temporary = false
	return nil
}

func sortedAccounts(accounts []shardferry.Account) []shardferry.Account {
	sorted := slices.Clone(accounts)
	slices.SortFunc(sorted, shardferry.Account.Compare)
	return sorted
}
