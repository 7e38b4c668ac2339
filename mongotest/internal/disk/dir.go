package disk

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	manifestName = "cluster.json"
	lockName     = "lock"
	format       = 1
	dirMode      = 0o700
)

// A Shape is what a cluster and its directory must agree on.
type Shape struct {
	Shards  int    `json:"shards"` // 0: a replica set
	Spares  int    `json:"spares"`
	Beside  string `json:"beside,omitempty"` // the names of replica sets beside the cluster
	Version string `json:"version"`          // of the server; a directory may be opened by a later one
}

// A manifest is what a directory says of itself.
type manifest struct {
	Format   int    `json:"format"`
	Identity string `json:"identity"`
	Shape
	// Complete is set once the cluster has been made: clients may have written
	// to it from then on.
	Complete bool `json:"complete"`
}

// A Dir is the directory of one cluster: a log for each of its replica sets, and
// a manifest.
type Dir struct {
	path     string
	lock     *os.File
	manifest manifest
}

// OpenDir takes a directory for this process, and makes it if there is none. It
// fails with a RefusedError if another process has it or it is not that of a
// cluster of this shape.
func OpenDir(path string, shape Shape) (_ *Dir, err error) {
	m, err := readManifest(path)
	if err != nil {
		return nil, err
	}
	if m == nil {
		if err := os.MkdirAll(path, dirMode); err != nil {
			return nil, err
		}
	} else if err := m.check(path, shape); err != nil {
		return nil, err
	}
	d := &Dir{path: path}
	if err := d.take(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	if m, err = readManifest(path); err != nil { // what it is now that nobody else has it
		return nil, err
	}
	if m == nil {
		var id [16]byte
		if _, err := rand.Read(id[:]); err != nil {
			return nil, err
		}
		m = &manifest{Format: format, Identity: hex.EncodeToString(id[:]), Shape: shape}
	}
	d.manifest = *m
	if m.Complete {
		return d, m.check(path, shape)
	}
	d.manifest.Shape = shape
	return d, d.write()
}

// readManifest returns nil for a directory that is not there or empty.
func readManifest(dir string) (*manifest, error) {
	path := filepath.Join(dir, manifestName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, checkEmpty(dir)
	}
	if err != nil {
		return nil, err
	}
	m := &manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, &DamageError{Path: path, Reason: err.Error()}
	}
	if m.Format != format {
		return nil, &RefusedError{Path: path, Reason: fmt.Sprintf("it has format %d, and this version knows only %d: open it with the version that wrote it", m.Format, format)}
	}
	if _, err := m.identity(); err != nil {
		return nil, &DamageError{Path: path, Reason: err.Error()}
	}
	return m, nil
}

// checkEmpty refuses a directory with other things in it. A lock alone is what a
// start that was interrupted leaves behind.
func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name := e.Name(); name != lockName && !strings.HasPrefix(name, manifestName) {
			return &RefusedError{Path: dir, Reason: fmt.Sprintf("it is not empty and has no %s: name another directory", manifestName)}
		}
	}
	return nil
}

// check refuses another shape than the directory's.
func (m *manifest) check(dir string, shape Shape) error {
	switch {
	case !m.Complete:
		return nil
	case m.Shards != shape.Shards:
		return &RefusedError{Path: dir, Reason: fmt.Sprintf("it holds %s, not %s: start with the same or name another directory", describe(m.Shards), describe(shape.Shards))}
	case m.Spares != shape.Spares:
		return &RefusedError{Path: dir, Reason: fmt.Sprintf("it holds a cluster with %d spare replica sets, not %d: start with the same or name another directory", m.Spares, shape.Spares)}
	case m.Beside != shape.Beside:
		return &RefusedError{Path: dir, Reason: fmt.Sprintf("it holds a cluster with the replica sets %q beside it, not %q: start with the same or name another directory", m.Beside, shape.Beside)}
	case later(m.Version, shape.Version):
		return &RefusedError{Path: dir, Reason: fmt.Sprintf("it was last opened by server version %s, which is later than %s: start with that or a later one, or name another directory", m.Version, shape.Version)}
	}
	return nil
}

func describe(shards int) string {
	switch shards {
	case 0:
		return "a replica set"
	case 1:
		return "a sharded cluster of 1 shard"
	default:
		return fmt.Sprintf("a sharded cluster of %d shards", shards)
	}
}

// later reports whether version a is of a later series than b.
func later(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs), 2) {
		x, errX := strconv.Atoi(as[i])
		y, errY := strconv.Atoi(bs[i])
		if errX != nil || errY != nil || x != y {
			return errX == nil && errY == nil && x > y
		}
	}
	return false
}

func (m *manifest) identity() (id Identity, err error) {
	b, err := hex.DecodeString(m.Identity)
	if err == nil && len(b) != len(id) {
		err = fmt.Errorf("an identity has %d bytes, not %d", len(id), len(b))
	}
	copy(id[:], b)
	return id, err
}

// take locks the directory.
func (d *Dir) take() error {
	path := filepath.Join(d.path, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, segmentMode)
	if err != nil {
		return err
	}
	taken, err := lockFile(f)
	if err == nil && !taken {
		err = &RefusedError{Path: path, Reason: "another process has the directory open: stop it or name another directory"}
	}
	if err != nil {
		_ = f.Close() // err says more
		return err
	}
	d.lock = f
	return nil
}

// Fresh reports whether the cluster has not been made yet.
func (d *Dir) Fresh() bool { return !d.manifest.Complete }

// Log returns the log of a replica set, whose directory is made if it is fresh.
func (d *Dir) Log(set string) (*Log, error) {
	dir := filepath.Join(d.path, set)
	if d.Fresh() { // what an interrupted start has left holds nothing of anybody
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
		if err := os.Mkdir(dir, dirMode); err != nil {
			return nil, err
		}
		if err := syncDir(d.path); err != nil {
			return nil, err
		}
	}
	id, err := d.manifest.identity()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append(id[:], set...))
	l, err := Open(Config{Dir: dir, Identity: Identity(sum[:16])})
	if err == nil && !d.Fresh() && len(l.segs) == 0 {
		return nil, missing(dir, 1)
	}
	return l, err
}

// Complete notes that the cluster has been made, or is of another version now.
func (d *Dir) Complete(version string) error {
	if d.manifest.Complete && d.manifest.Version == version {
		return nil
	}
	d.manifest.Complete, d.manifest.Version = true, version
	return d.write()
}

// write replaces the manifest.
func (d *Dir) write() error {
	text, err := json.MarshalIndent(d.manifest, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(d.path, manifestName)
	f, err := os.OpenFile(path+partialExt, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, segmentMode)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(path+partialExt, path)
	}
	if err == nil {
		err = syncDir(d.path)
	}
	return err
}

// Close lets other processes have the directory.
func (d *Dir) Close() {
	if d.lock != nil {
		_ = d.lock.Close() // the kernel gives the lock back
		d.lock = nil
	}
}
