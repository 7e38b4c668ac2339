package disk

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var testShape = Shape{Shards: 2, Version: "8.0.4"}

// made returns the directory of a cluster that clients have used.
func made(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "db")
	d, err := OpenDir(dir, testShape)
	require.NoError(t, err)
	assert.True(t, d.Fresh())
	l, err := d.Log("shard0")
	require.NoError(t, err)
	require.NoError(t, l.Resume())
	l.Close()
	require.NoError(t, d.Complete(testShape.Version))
	d.Close()
	return dir
}

func refused(t *testing.T, dir string, shape Shape, says string) {
	t.Helper()
	before := contents(t, dir)
	_, err := OpenDir(dir, shape)
	var r *RefusedError
	require.ErrorAs(t, err, &r)
	assert.Contains(t, err.Error(), says)
	assert.Contains(t, err.Error(), dir)
	assert.Equal(t, before, contents(t, dir))
}

// Only one process has a directory, and what is not the directory of such a
// cluster is left alone.
func TestDirIsRefused(t *testing.T) {
	dir := made(t)
	require.NoError(t, os.Remove(filepath.Join(dir, "shard0", "00000001"+segmentExt)))
	d, err := OpenDir(dir, testShape)
	require.NoError(t, err)
	_, err = d.Log("shard0")
	var damage *DamageError
	require.ErrorAs(t, err, &damage, "all its segments are gone")
	require.NoError(t, os.Remove(filepath.Join(dir, "shard0")))
	refused(t, dir, testShape, "another process")
	d.Close()
	refused(t, dir, Shape{Shards: 3, Version: "8.0.4"}, "2 shards")
	refused(t, dir, Shape{Version: "8.0.4"}, "not a replica set")
	refused(t, dir, Shape{Shards: 2, Spares: 1, Version: "8.0.4"}, "spare")
	refused(t, dir, Shape{Shards: 2, Version: "7.0.1"}, "8.0.4")
	d, err = OpenDir(dir, Shape{Shards: 2, Version: "8.1.0"})
	require.NoError(t, err)
	require.NoError(t, d.Complete("8.1.0"))
	d.Close()
	refused(t, dir, testShape, "8.1.0")

	manifest := filepath.Join(dir, manifestName)
	edit(t, manifest, func(b []byte) { copy(b, "{\n  \"format\": 7,") })
	refused(t, dir, testShape, "format 7")
	require.NoError(t, os.WriteFile(manifest, []byte("{"), segmentMode))
	_, err = OpenDir(dir, testShape)
	require.ErrorAs(t, err, &damage)
	assert.Equal(t, manifest, damage.Path)

	other := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(other, "thesis.tex"), nil, segmentMode))
	refused(t, other, testShape, "not empty")
}

// A start that was interrupted leaves nothing: the cluster is made anew, and may
// have another shape.
func TestIncompleteDirIsFresh(t *testing.T) {
	dir := t.TempDir()
	d, err := OpenDir(dir, testShape)
	require.NoError(t, err)
	l, err := d.Log("shard0")
	require.NoError(t, err)
	require.NoError(t, l.Resume())
	frame(t, l, "of the first attempt")
	l.Close()
	d.Close()
	d, err = OpenDir(dir, Shape{Version: "8.0.4"})
	require.NoError(t, err)
	defer d.Close()
	assert.True(t, d.Fresh())
	l, err = d.Log("shard0")
	require.NoError(t, err)
	frames, err := replayAll(l)
	require.NoError(t, err)
	assert.Empty(t, frames)
	l.Close()
}
