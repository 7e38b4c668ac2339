package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const testSegment = 4096

func testConfig(dir string) Config {
	return Config{Dir: dir, Identity: Identity{1, 2, 3}, SegmentSize: testSegment}
}

// document returns something with a BSON document's length.
func document(size int, fill byte) []byte {
	d := bytes.Repeat([]byte{fill}, max(size, 5))
	binary.LittleEndian.PutUint32(d, uint32(len(d)))
	return d
}

// reopen returns the log of a directory, ready, and its frames.
func reopen(t require.TestingT, dir string) (*Log, []string) {
	l, err := Open(testConfig(dir))
	require.NoError(t, err)
	frames, err := replayAll(l)
	require.NoError(t, err)
	require.NoError(t, l.Resume())
	return l, frames
}

func replayAll(l *Log) (frames []string, err error) {
	err = l.Replay(func(_ Place, frame []byte) error {
		frames = append(frames, string(frame))
		return nil
	})
	return frames, err
}

func frame(t require.TestingT, l *Log, text string) Place {
	at, err := l.Frame([]byte(text), 0)
	require.NoError(t, err)
	return at
}

// end returns where the log ends.
func (l *Log) end() Place {
	last := l.segs[len(l.segs)-1]
	return Place{last.number, last.end}
}

// edit changes bytes of a file.
func edit(t require.TestingT, path string, change func(b []byte)) {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	change(b)
	require.NoError(t, os.WriteFile(path, b, segmentMode))
}

// contents returns every file of a directory.
func contents(t require.TestingT, dir string) map[string]string {
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		out[e.Name()] = string(b)
	}
	return out
}

// What is appended is there again, documents in their places, across segments
// and for records larger than one.
func TestLogComesBack(t *testing.T) {
	dir := t.TempDir()
	l, frames := reopen(t, dir)
	assert.Empty(t, frames)
	var places []Place
	var want []string
	for i := range 100 {
		size := 60 + i
		if i == 50 {
			size = 3 * testSegment
		}
		doc, at, err := l.Blob(7, uint64(i), document(size, byte(i)))
		require.NoError(t, err)
		found, ok := l.Locate(doc)
		assert.True(t, ok)
		assert.Equal(t, at, found)
		want = append(want, fmt.Sprint("frame ", i))
		places = append(places, at)
		frame(t, l, want[i])
	}
	l.Close() // nothing was synced: the kernel has it
	assert.Greater(t, len(l.Segments()), 5)
	_, err := l.Frame([]byte("late"), 0)
	require.ErrorIs(t, err, ErrClosed)

	l, frames = reopen(t, dir)
	assert.Equal(t, want, frames)
	for i, at := range places {
		size := 60 + i
		if i == 50 {
			size = 3 * testSegment
		}
		assert.Equal(t, document(size, byte(i)), l.Doc(at))
	}
	_, ok := l.Locate([]byte("from elsewhere"))
	assert.False(t, ok)
	assert.Nil(t, l.Doc(Place{99, 100}))
	assert.Nil(t, l.Doc(Place{1, 3}))
}

// Whatever a power cut leaves of what was not synced, the log ends at a frame
// at or after the last synced one and before what is missing, and goes on from
// there.
func TestPowerCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base, err := os.MkdirTemp("", "log")
		require.NoError(t, err)
		defer func() { require.NoError(t, os.RemoveAll(base)) }()
		dir := filepath.Join(base, "a")
		require.NoError(t, os.Mkdir(dir, dirMode))
		l, _ := reopen(t, dir)
		var ends []Place
		synced, now := 0, 0
		for n := rapid.IntRange(1, 60).Draw(t, "frames"); now < n; now++ {
			if rapid.Bool().Draw(t, "blob") {
				_, _, err := l.Blob(1, uint64(now), document(rapid.IntRange(5, 900).Draw(t, "size"), 1))
				require.NoError(t, err)
			}
			frame(t, l, fmt.Sprint(now))
			ends = append(ends, l.end())
			if rapid.IntRange(0, 9).Draw(t, "sync") == 0 {
				require.NoError(t, l.Sync())
				synced = now + 1
			}
		}
		last := l.end()
		l.Close()

		// The cut loses one run of bytes behind the synced ones, or all of them.
		from := Place{1, headerSize}
		if synced > 0 {
			from = ends[synced-1]
		}
		cut := Place{uint32(rapid.IntRange(int(from.Segment), int(last.Segment)).Draw(t, "segment")), 0}
		low := headerSize
		if cut.Segment == from.Segment {
			low = int(from.Offset)
		}
		cut.Offset = uint32(rapid.IntRange(low, testSegment-1).Draw(t, "offset"))
		to := rapid.IntRange(int(cut.Offset), testSegment).Draw(t, "to")
		hit := false
		edit(t, segmentPath(dir, cut.Segment), func(b []byte) {
			for i := int(cut.Offset); i < to; i++ {
				hit = hit || b[i] != 0
				b[i] = 0
			}
		})
		l, frames := reopen(t, dir)
		defer l.Close()
		require.GreaterOrEqual(t, len(frames), synced)
		for i, f := range frames {
			require.Equal(t, fmt.Sprint(i), f)
		}
		if !hit {
			require.Len(t, frames, now)
		}
		for i, end := range ends {
			if end.Segment < cut.Segment || end.Segment == cut.Segment && end.Offset <= cut.Offset {
				require.Greater(t, len(frames), i, "frame %d was whole", i)
			}
		}
		frame(t, l, "after")
		l.Close()
		l, again := reopen(t, dir)
		l.Close()
		require.Equal(t, append(frames, "after"), again)
	})
}

// A byte that changes in what was synced is found, whichever it is, and nothing
// is changed then.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	l, _ := reopen(t, dir)
	for i := range 200 {
		_, _, err := l.Blob(1, 2, document(50, 1))
		require.NoError(t, err)
		frame(t, l, fmt.Sprint("frame ", i))
	}
	require.NoError(t, l.Sync())
	last := l.end()
	l.Close()
	require.Greater(t, last.Segment, uint32(2))
	for n := uint32(1); n <= last.Segment; n++ {
		end := uint32(testSegment)
		if n == last.Segment {
			end = last.Offset
		}
		for at := uint32(0); at < end; at += 13 {
			path := segmentPath(dir, n)
			before, err := os.ReadFile(path)
			require.NoError(t, err)
			l, err = Open(testConfig(dir))
			require.NoError(t, err)
			whole, err := replayAll(l)
			require.NoError(t, err)
			l.Close()
			edit(t, path, func(b []byte) { b[at] ^= 0x10 })
			damaged := contents(t, dir)
			l, err := Open(testConfig(dir))
			var frames []string
			if err == nil {
				frames, err = replayAll(l)
				l.Close()
			}
			var damage *DamageError
			var refused *RefusedError
			switch {
			case errors.As(err, &damage):
				assert.Equal(t, path, damage.Path)
			case errors.As(err, &refused):
				assert.Equal(t, path, refused.Path)
			default:
				// Padding and what is behind a seal mean nothing.
				assert.Equal(t, whole, frames, "byte %d of segment %d", at, n)
			}
			assert.Equal(t, damaged, contents(t, dir))
			require.NoError(t, os.WriteFile(path, before, segmentMode))
		}
	}
}

// A file that is missing is named: the first, one between, the last.
func TestMissingSegment(t *testing.T) {
	dir := t.TempDir()
	l, _ := reopen(t, dir)
	for i := range 200 {
		frame(t, l, fmt.Sprintf("%0100d", i))
	}
	require.NoError(t, l.Sync())
	last := l.end().Segment
	l.Close()
	require.Greater(t, last, uint32(3))
	for _, n := range []uint32{1, 2, last} {
		path := segmentPath(dir, n)
		was, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.Remove(path))
		l, err := Open(testConfig(dir))
		if err == nil {
			_, err = replayAll(l)
			l.Close()
		}
		var damage *DamageError
		require.ErrorAs(t, err, &damage)
		assert.Equal(t, path, damage.Path)
		require.NoError(t, os.WriteFile(path, nil, segmentMode))
		_, err = Open(testConfig(dir))
		require.ErrorAs(t, err, &damage, "an empty file is none either")
		require.NoError(t, os.WriteFile(path, was, segmentMode))
	}
}

// A segment of another log is refused.
func TestForeignSegment(t *testing.T) {
	dir := t.TempDir()
	l, _ := reopen(t, dir)
	l.Close()
	cfg := testConfig(dir)
	cfg.Identity[0]++
	_, err := Open(cfg)
	var refused *RefusedError
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, segmentPath(dir, 1), refused.Path)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "notes.txt"), nil, segmentMode))
	_, err = Open(testConfig(dir))
	require.ErrorAs(t, err, &refused)
	assert.Contains(t, err.Error(), "notes.txt")
}

// Retired segments give their space back, their documents stay readable until
// Unmap, and the log opens without them, also if they could not be removed.
func TestRetire(t *testing.T) {
	dir := t.TempDir()
	l, _ := reopen(t, dir)
	doc, _, err := l.Blob(1, 5, document(100, 3))
	require.NoError(t, err)
	for i := range 200 {
		frame(t, l, fmt.Sprintf("%0100d", i))
	}
	blobs := l.Blobs(1)
	require.Len(t, blobs, 1)
	assert.Equal(t, Blob{1, 5, document(100, 3)}, blobs[0])
	assert.Nil(t, l.Blobs(l.end().Segment), "the last one is still being written")
	left, err := os.ReadFile(segmentPath(dir, 2))
	require.NoError(t, err)
	require.NoError(t, l.Retire(3))
	assert.Equal(t, document(100, 3), doc)
	assert.True(t, l.Gone(Place{2, 100}))
	assert.NoFileExists(t, segmentPath(dir, 1))
	require.NoError(t, l.Unmap())
	frame(t, l, "after")
	l.Close()

	require.NoError(t, os.WriteFile(segmentPath(dir, 2), left, segmentMode))
	l, frames := reopen(t, dir)
	assert.Equal(t, "after", frames[len(frames)-1])
	assert.NoFileExists(t, segmentPath(dir, 2))
	assert.Equal(t, uint32(3), l.Segments()[0].Number)
	l.Close()

	require.NoError(t, os.Remove(segmentPath(dir, 3)))
	l, err = Open(testConfig(dir))
	require.NoError(t, err)
	_, err = replayAll(l)
	var damage *DamageError
	require.ErrorAs(t, err, &damage)
	assert.Equal(t, segmentPath(dir, 3), damage.Path)
}

// After an error of the disk nothing is taken any more.
func TestBrokenDisk(t *testing.T) {
	dir := t.TempDir()
	l, _ := reopen(t, dir)
	require.NoError(t, os.RemoveAll(dir))
	var err error
	for err == nil {
		_, err = l.Frame(make([]byte, 1000), 0)
	}
	<-l.Broken()
	require.Error(t, l.Failure())
	_, _, err = l.Blob(1, 1, document(10, 1))
	require.ErrorIs(t, err, l.Failure())
	require.ErrorIs(t, l.Sync(), l.Failure())
}

// Whatever is in a segment, reading it ends, and what is behind is not touched.
func FuzzReplay(f *testing.F) {
	dir := f.TempDir()
	l, _ := reopen(f, dir)
	_, _, err := l.Blob(1, 1, document(20, 1))
	require.NoError(f, err)
	frame(f, l, "a frame")
	frame(f, l, "another")
	good := append([]byte(nil), l.segs[0].data[:l.end().Offset]...)
	l.Close()
	f.Add(good[headerSize:])
	f.Add(append(good[headerSize:], 1, 0, 0, 0x40, 1, 2, 3, 4, 5))
	f.Fuzz(func(t *testing.T, records []byte) {
		s := &segment{number: 1, data: make([]byte, headerSize+len(records)), end: headerSize, synced: headerSize}
		copy(s.data, good[:headerSize])
		copy(s.data[headerSize:], records)
		s.seed = l.segs[0].seed
		l := &Log{segs: []*segment{s}, first: 1}
		n := 0
		err := l.Replay(func(at Place, frame []byte) error {
			n += len(frame) + recordHead
			return nil
		})
		if err == nil && n > len(records) {
			t.Errorf("%d bytes of frames in %d", n, len(records))
		}
		for at := uint32(0); at < uint32(len(s.data)); at++ {
			l.Doc(Place{1, at})
		}
	})
}
