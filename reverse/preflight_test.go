package reverse_test

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/reverse"
)

var quiet = slog.New(slog.DiscardHandler)

// Who may not pass a write block cannot keep the old source current while
// applications are kept away from it. The operator learns that before the
// commit, and on which cluster to grant what.
func TestPreflightNamesWhatTheWayBackLacks(t *testing.T) {
	const none, may, not = "", "restore", "readWriteAnyDatabase"
	for name, c := range map[string]struct {
		roles   [2]string
		able    reverse.Ability
		on      string // where something is lacking
		blocked bool   // the destination, while the sync runs
	}{
		"both":                 {[2]string{may, may}, reverse.Ability{BypassSource: true, BypassDestination: true}, "", true},
		"root may everything":  {[2]string{"root", "root"}, reverse.Ability{BypassSource: true, BypassDestination: true}, "", true},
		"not on the source":    {[2]string{not, may}, reverse.Ability{BypassDestination: true}, "on the source may not", true},
		"not at the new home":  {[2]string{may, not}, reverse.Ability{BypassSource: true}, "on the destination may not", false},
		"on neither":           {[2]string{not, not}, reverse.Ability{}, "on the source and on the destination may not", false},
		"nobody has logged in": {[2]string{none, none}, reverse.Ability{}, "on the source and on the destination may not", false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 0, c.roles, func(t *testing.T, from, to *end) {
				able, err := reverse.Preflight(t.Context(), from.our, to.our)
				require.NoError(t, err)
				assert.Equal(t, c.able, able)
				assert.Equal(t, c.on == "", able.Reversible())
				warnings := able.Warnings()
				if !c.blocked {
					require.NotEmpty(t, warnings)
					assert.Contains(t, warnings[0], "the destination is not write-blocked")
					warnings = warnings[1:]
				}
				if c.on == "" {
					assert.Empty(t, warnings)
					return
				}
				require.Len(t, warnings, 1)
				assert.Contains(t, warnings[0], "no way back")
				assert.Contains(t, warnings[0], c.on)
			})
		})
	}
}

// What could not be asked is not taken for a yes or a no.
func TestPreflightThatCannotAskIsAnError(t *testing.T) {
	for _, broken := range []string{"source", "destination"} {
		bubble(t, 0, [2]string{"root", "root"}, func(t *testing.T, from, to *end) {
			map[string]*end{"source": from, "destination": to}[broken].fails("connectionStatus")
			_, err := reverse.Preflight(t.Context(), from.our, to.our)
			require.ErrorContains(t, err, broken+": ")
		})
	}
}
