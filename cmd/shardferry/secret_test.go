package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardferry/shardferry/api"
	"github.com/shardferry/shardferry/internal/rehearse"
)

// canaries are what must not be seen anywhere.
type canaries map[string]string

func (c canaries) absent(t *testing.T, where string, text []byte) {
	t.Helper()
	for name, secret := range c {
		assert.False(t, bytes.Contains(text, []byte(secret)), "%s is in %s", name, where)
	}
}

// listed returns the line by which ps shows a process.
func (p *process) listed(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.cmd.Process.Pid))
	if errors.Is(err, fs.ErrNotExist) {
		t.Log("this system shows no command lines")
		return nil
	}
	require.NoError(t, err)
	require.NotEmpty(t, b)
	return b
}

// TestSecretsShowNowhere gives passwords and tokens in every way there is, lets a
// sync commit at debug level, and looks for them everywhere.
func TestSecretsShowNowhere(t *testing.T) {
	t.Parallel()
	m := newMove(t, 300)
	dir := t.TempDir()
	secrets := canaries{"the password": rehearse.Password, "a token that is not known": "sfy_" + strings.Repeat("c4n4ry", 8)}
	tokens := "tokens:\n"
	for name, role := range map[string]api.Role{"ada": api.RoleAdmin, "vera": api.RoleViewer, "gone": api.RoleAdmin, "own": api.RoleOperator} {
		expires := time.Now().Add(time.Hour)
		if name == "gone" {
			expires = time.Now().Add(-time.Hour)
		}
		token, entry, err := api.NewToken(name, role, expires)
		require.NoError(t, err)
		secrets[name] = token
		which := "sha256: " + entry.SHA256
		if name == "own" {
			which = "file: " + filepath.Join(dir, "own")
		}
		tokens += fmt.Sprintf("- {name: %s, role: %s, expires: %q, %s}\n", name, role, entry.Expires, which)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(token), 0o600))
	}
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
			args := append([]string{"sync", "--data-dir", data, "--api-addr", m.addr, "--json", "--log-level", "debug", "--tokens-file", write("tokens.yaml", tokens)}, tt.args...)
			if i == len(tests)-1 {
				args = append(args, "--commit", "--stay") // it can be asked after the commit too
			}
			p := launch(t, tt.env, args...)
			node := api.NewClient(m.addr).With(api.Access{Token: secrets["vera"]})
			until(t, "an answer", func() bool {
				require.False(t, p.ended(), p.complaints())
				pr, err := node.Progress(t.Context())
				return err == nil && pr.Detail.TasksTotal > 0
			})
			for who, secret := range secrets {
				secrets.absent(t, "an answer to "+who, answersTo(t, m.addr, secret))
			}
			if !tt.warn {
				secrets.absent(t, "the process list", p.listed(t))
			}
			m.asksWithTokens(t, dir, secrets)
			if i == len(tests)-1 {
				p.await("committed")
			}
			p.terminate()
			assert.Equal(t, 0, p.wait())
			said := strings.Join(p.lines(), "\n") + p.complaints()
			secrets.absent(t, "what the node says", []byte(said))
			assert.Contains(t, said, "request refused", "the wrong tokens were seen")
			assert.Equal(t, tt.warn, strings.Contains(said, "--source-file, or the variable SHARDFERRY_SOURCE"))
			assert.Equal(t, tt.warn, strings.Contains(said, "--destination-file"))
		})
	}
	require.NoError(t, filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		secrets.absent(t, path, b)
		return err
	}))
}

// answersTo are those of every path to a token.
func answersTo(t *testing.T, addr, token string) (all []byte) {
	t.Helper()
	// It is not paused, so that nobody can resume it, at any time.
	for _, path := range []string{"GET progress", "GET verify", "GET audit", "GET tokens", "GET nothing", "POST resume", "POST nothing"} {
		method, name, _ := strings.Cut(path, " ")
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+"/api/v1/"+name, nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		all = append(all, body...)
	}
	return all
}

// asksWithTokens gives commands with tokens from files and from the environment.
func (m *move) asksWithTokens(t *testing.T, dir string, secrets canaries) {
	t.Helper()
	for _, tt := range []struct {
		code int
		env  []string
		args []string
	}{
		{0, nil, []string{"progress", "--token-file", filepath.Join(dir, "vera")}},
		{0, []string{"SHARDFERRY_TOKEN=" + secrets["vera"]}, []string{"audit", "--json"}},
		{exitFailed, []string{"SHARDFERRY_TOKEN=" + secrets["vera"]}, []string{"resume"}},
		{exitFailed, nil, []string{"resume", "--token-file", filepath.Join(dir, "own")}},
		{exitFailed, nil, []string{"resume", "--token-file", filepath.Join(dir, "gone")}},
		{exitFailed, []string{"SHARDFERRY_TOKEN=" + secrets["a token that is not known"]}, []string{"progress"}},
		{exitFailed, nil, []string{"progress"}},
	} {
		p := launch(t, tt.env, append(tt.args, "--api-addr", m.addr)...)
		assert.Equal(t, tt.code, p.wait(), "%v: %s", tt.args, p.complaints())
		secrets.absent(t, "what "+tt.args[0]+" says", []byte(strings.Join(p.lines(), "\n")+p.complaints()))
	}
	p := launch(t, []string{"SHARDFERRY_TOKEN=" + secrets["vera"]}, "progress", "--follow", "--api-addr", m.addr)
	until(t, "a line", func() bool { return len(p.lines()) > 0 })
	secrets.absent(t, "the process list", p.listed(t))
	p.terminate()
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
