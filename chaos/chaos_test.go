package chaos

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What fails here fails again with: shardferry chaos --seeds N --verbose.
func TestNothingIsLost(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprintf("seed %d", seed+1), func(t *testing.T) {
			res := Run(seed + 1)
			p := Printer{W: os.Stderr}
			require.NoError(t, p.Result(res))
			assert.True(t, res.Passed)
		})
	}
}
