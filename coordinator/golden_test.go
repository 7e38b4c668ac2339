package coordinator

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/shardferry/shardferry"
	"github.com/shardferry/shardferry/coordinator/state"
)

var add = flag.Bool("add", false, "add golden files for what has a new form; none is ever changed")

// Golden bytes: the newest are what this program writes, and all of them it must read
// for ever, each field with the value that it has there.
func TestCommandsAreWrittenAndReadAsEver(t *testing.T) {
	found := 0
	for kind, code := range codes {
		t.Run(kind.Name(), func(t *testing.T) {
			cmd := filled(kind)
			b, err := encodeCommand(cmd.Interface().(state.Command))
			require.NoError(t, err)
			forms := golden(t, fmt.Sprintf("commands/%03d-%s", code, kind.Name()), b)
			found += len(forms)
			for _, old := range forms {
				back, err := decodeCommand(old)
				require.NoError(t, err)
				again, err := encodeCommand(back)
				require.NoError(t, err)
				assert.Equal(t, old[0], again[0])
				assertKept(t, old[1:], again[1:])
			}
			back, err := decodeCommand(b)
			require.NoError(t, err)
			assert.Equal(t, cmd.Interface(), back)
		})
	}
	all, err := filepath.Glob("testdata/commands/*.hex")
	require.NoError(t, err)
	assert.Len(t, all, found, "a golden file is of no command: its code must stay reserved")
}

// A snapshot of every version is read, with every field that this version had. What
// the compressor makes of one may change, what it is made of may not.
func TestSnapshotsOfEveryVersionAreReadAsEver(t *testing.T) {
	whole, ok := filled(reflect.TypeFor[state.Sync]()).Interface().(state.Sync)
	require.True(t, ok)
	now, err := bson.Marshal(snapshotDocument{Version: snapshotVersion, Sync: &whole})
	require.NoError(t, err)
	var sink memSink
	require.NoError(t, snapshot{sync: &whole, index: 7}.Persist(&sink))
	s, err := readSnapshot(&sink.Buffer)
	require.NoError(t, err)
	assert.Equal(t, &snapshotDocument{Version: snapshotVersion, Index: 7, Sync: &whole}, s)

	kept := func(doc bson.Raw, s *state.Sync) {
		again, err := bson.Marshal(s)
		require.NoError(t, err)
		assertKept(t, doc.Lookup("sync").Document(), again)
	}
	for _, old := range files(t, "snapshots/version1") {
		s, err := readSnapshot(bytes.NewReader(old))
		require.NoError(t, err)
		kept(old, s.Sync)
	}
	for _, doc := range golden(t, "snapshots/version2", now) {
		s, err := readDocument(bytes.NewReader(doc), 2)
		require.NoError(t, err)
		kept(doc, s.Sync)
	}
	for _, old := range files(t, "snapshots/version2-compressed") {
		s, err := readSnapshot(bytes.NewReader(old))
		require.NoError(t, err)
		kept(files(t, "snapshots/version2")[0], s.Sync)
	}
}

// golden returns the bytes of all forms that something has had, oldest first. The
// last must be what is written now.
func golden(t *testing.T, name string, now []byte) (forms [][]byte) {
	t.Helper()
	if _, err := os.Stat(file(name, 1)); err == nil {
		forms = files(t, name)
	}
	if *add && (len(forms) == 0 || !bytes.Equal(forms[len(forms)-1], now)) {
		var text strings.Builder
		for line := range chunks(hex.EncodeToString(now), 120) {
			text.WriteString(line + "\n")
		}
		require.NoError(t, os.WriteFile(file(name, len(forms)+1), []byte(text.String()), 0o644))
		forms = append(forms, now)
	}
	require.NotEmpty(t, forms, "%s has no golden file: see docs/UPGRADES.md", name)
	assert.Equal(t, hex.EncodeToString(forms[len(forms)-1]), hex.EncodeToString(now), "%s has a new form: see docs/UPGRADES.md", name)
	return forms
}

func file(name string, n int) string {
	return filepath.Join("testdata", fmt.Sprintf("%s-%d.hex", name, n))
}

// files returns what stands in the files of a name, of which there is at least one.
func files(t *testing.T, name string) (forms [][]byte) {
	t.Helper()
	for n := 1; ; n++ {
		text, err := os.ReadFile(file(name, n))
		if errors.Is(err, fs.ErrNotExist) && n > 1 {
			return forms
		}
		require.NoError(t, err)
		b, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
		require.NoError(t, err, file(name, n))
		forms = append(forms, b)
	}
}

func chunks(s string, n int) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for len(s) > 0 {
			head := s[:min(n, len(s))]
			s = s[len(head):]
			if !yield(head) {
				return
			}
		}
	}
}

// assertKept asserts that everything in old is also in now, with the same value.
func assertKept(t *testing.T, old, now bson.Raw) {
	t.Helper()
	elements, err := old.Elements()
	require.NoError(t, err)
	for _, e := range elements {
		v, kept := e.Value(), now.Lookup(e.Key())
		if !assert.Equal(t, v.Type, kept.Type, "field %s of %v", e.Key(), old) {
			continue
		}
		switch v.Type {
		case bson.TypeEmbeddedDocument:
			assertKept(t, v.Document(), kept.Document())
		case bson.TypeArray:
			assertKept(t, bson.Raw(v.Array()), bson.Raw(kept.Array()))
		default:
			assert.True(t, v.Equal(kept), "field %s of %v is now %v", e.Key(), old, kept)
		}
	}
}

// filled returns a value of type t in which every field is set. What a field holds
// follows from its name alone.
func filled(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	fill(v, t.Name())
	return v
}

func fill(v reflect.Value, path string) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(path))
	n := h.Sum32()%1000 + 1
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.UnixMilli(1_700_000_000_000 + int64(n)).UTC()))
		return
	case state.Tasks:
		v.Set(reflect.ValueOf(state.NewTasks([]shardferry.CopyTask{filled(reflect.TypeFor[shardferry.CopyTask]()).Interface().(shardferry.CopyTask)})))
		return
	case bson.Raw:
		b, err := bson.Marshal(bson.D{{"_id", n}})
		if err != nil {
			panic(err)
		}
		v.SetBytes(b)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), path+"[]")
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), path)
	case reflect.String:
		v.SetString(fmt.Sprintf("v%d", n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64, reflect.Int32:
		v.SetInt(int64(n))
	case reflect.Uint64, reflect.Uint32, reflect.Uint8:
		v.SetUint(uint64(n % 256))
	default:
		panic(fmt.Sprintf("%s: a %v is not filled", path, v.Type()))
	}
}
