package main

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/internal/rehearse"
)

// TestPasswordsShowNowhere gives the password in every way there is, lets a
// sync commit at debug level, and looks for it everywhere.
func TestPasswordsShowNowhere(t *testing.T) {
	t.Parallel()
	m := newMove(t, 300)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	src, dst := m.src.operator, m.dst.operator
	require.Contains(t, src, rehearse.Password)
	config := write("config.yaml", "source: "+src+"\ndestination: "+dst+"\n")
	tests := []struct {
		name string
		env  []string
		args []string
		warn bool
	}{
		{"flags", nil, []string{"--source", src, "--destination=" + dst}, true},
		{"environment", []string{"SHARDFERRY_SOURCE=" + src, "SHARDFERRY_DESTINATION=" + dst}, nil, false},
		{"files", nil, []string{"--source-file", write("src", src), "--destination-file", write("dst", dst+"\n")}, false},
		{"configuration", nil, []string{"--config", config}, false},
	}
	data := t.TempDir()
	for i, tt := range tests { // the same sync, taken up again
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"sync", "--data-dir", data, "--api-addr", m.addr, "--json", "--log-level", "debug"}, tt.args...)
			if i == len(tests)-1 {
				args = append(args, "--commit")
			}
			p := launch(t, tt.env, args...)
			m.reach(t, p, "an answer", func(pr api.Progress) bool { return pr.Detail.TasksTotal > 0 })
			for _, path := range []string{"progress", "verify", "nothing"} {
				resp, err := http.Get("http://" + m.addr + "/api/v1/" + path)
				require.NoError(t, err)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				assert.NotContains(t, string(body), rehearse.Password, path)
			}
			if i < len(tests)-1 {
				p.terminate()
			} else {
				p.await("committed")
			}
			assert.Equal(t, 0, p.wait())
			said := strings.Join(p.lines(), "\n") + p.complaints()
			assert.NotContains(t, said, rehearse.Password)
			assert.Equal(t, tt.warn, strings.Contains(said, "--source-file, or the variable SHARDFERRY_SOURCE"))
			assert.Equal(t, tt.warn, strings.Contains(said, "--destination-file"))
		})
	}
	require.NoError(t, filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		assert.False(t, bytes.Contains(b, []byte(rehearse.Password)), path)
		return err
	}))
}

func TestPasswordsDoNotShowInErrors(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config.yaml")
	for _, uri := range []string{
		"mongodb://u:c4n4ry@", "mongodb://u:c4n4ry@h:port", "mongodb://u:c4n4ry%@h/", "mongodb://u:p@c4n4ry@h/", "u:c4n4ry@h",
		"mongodb://u:c4n4ry@127.0.0.1:99999", "postgres://u:c4n4ry@h", "mongodb://h/?tlsCertificateKeyFilePassword=c4n4ry&tls=perhaps",
		"mongodb://h/?authMechanism=MONGODB-AWS&authMechanismProperties=AWS_SESSION_TOKEN:c4n4ry",
	} {
		refused := func(p *process) {
			assert.Equal(t, exitUsage, p.wait(), uri)
			assert.NotContains(t, p.complaints()+strings.Join(p.lines(), ""), "c4n4ry", uri)
		}
		refused(launch(t, nil, "sync", "--source", uri, "--destination", "mongodb://127.0.0.1:port", "--log-level", "debug"))
		refused(launch(t, []string{"SHARDFERRY_SOURCE=" + uri}, "sync", "--destination", "mongodb://127.0.0.1:port"))
		for _, text := range []string{"source: [" + uri + "]", "source: {a: " + uri + "}", uri + ": 1", "sources: " + uri, "lanes: " + uri, "source: " + uri + "\n\tx"} {
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			refused(launch(t, nil, "sync", "--config", path, "--destination", "mongodb://127.0.0.1:port"))
		}
	}
}
