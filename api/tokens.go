package api

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A TokenEntry is one token in a tokens file. The token itself is not in it,
// only its SHA-256 or the name of a file that holds it.
type TokenEntry struct {
	Name    string `json:"name" yaml:"name"`
	Role    Role   `json:"role" yaml:"role"`
	SHA256  string `json:"sha256,omitempty" yaml:"sha256,omitempty"`
	File    string `json:"file,omitempty" yaml:"file,omitempty"`
	Expires string `json:"expires,omitempty" yaml:"expires,omitempty"` // RFC 3339
}

type tokensFile struct {
	Tokens []TokenEntry `yaml:"tokens"`
}

// minToken is the shortest token that a file may hold, in bytes. One hash of it
// must not be worth guessing.
const minToken = 32

// NewToken makes a token, and its entry for a tokens file. A zero expires makes
// one that is good for ever.
func NewToken(name string, role Role, expires time.Time) (token string, e TokenEntry, err error) {
	if err := checkName(name); err != nil {
		return "", e, fmt.Errorf("name: %w", err)
	}
	if _, err := ParseRole(string(role)); err != nil {
		return "", e, fmt.Errorf("role: %w", err)
	}
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", e, fmt.Errorf("random bytes: %w", err)
	}
	token = "sfy_" + base64.RawURLEncoding.EncodeToString(b[:])
	sum := sha256.Sum256([]byte(token))
	e = TokenEntry{Name: name, Role: role, SHA256: hex.EncodeToString(sum[:])}
	if !expires.IsZero() {
		e.Expires = expires.UTC().Format(time.RFC3339)
	}
	return token, e, nil
}

// An identity is what a token stands for.
type identity struct {
	name    string
	role    Role
	sum     [sha256.Size]byte
	expires time.Time // zero: never
}

// Tokens are those of a file. The file is looked at with every request, so that
// what is changed there counts at once; one that is broken changes nothing.
type Tokens struct{ file fromFiles[[]identity] }

// OpenTokens reads a tokens file.
func OpenTokens(path string, log *slog.Logger) (*Tokens, error) {
	t := &Tokens{file: fromFiles[[]identity]{
		load: func(read func(string) ([]byte, error)) ([]identity, error) { return readTokens(path, read) },
		told: reloaded(log, "tokens"),
	}}
	return t, t.file.open()
}

// reloaded returns a function that logs how reading files again went.
func reloaded(log *slog.Logger, what string) func(error) {
	return func(err error) {
		if err != nil {
			log.Error("the new file is broken: the old one counts", slog.String("of", what), slog.Any("error", err))
			return
		}
		log.Info("read again", slog.String("of", what))
	}
}

// readTokens reads a tokens file and the files that it names. Errors name places,
// never what stands there: it might be a token.
func readTokens(path string, read func(string) ([]byte, error)) ([]identity, error) {
	b, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("tokens file: %w", err)
	}
	var f tokensFile
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("tokens file %s%s: want tokens, a list of name, role, sha256 or file, and expires", path, lines(err))
	}
	if len(f.Tokens) == 0 {
		return nil, fmt.Errorf("tokens file %s: there is no token in it (shardferry token new makes one)", path)
	}
	all := make([]identity, 0, len(f.Tokens))
	for i, e := range f.Tokens {
		id, err := e.identity(read)
		if err != nil {
			return nil, fmt.Errorf("tokens file %s: tokens[%d].%w", path, i, err)
		}
		for j, other := range all {
			if other.name == id.name {
				return nil, fmt.Errorf("tokens file %s: tokens[%d].name: tokens[%d] has it too", path, i, j)
			}
			if other.sum == id.sum {
				return nil, fmt.Errorf("tokens file %s: tokens[%d]: it is the same token as tokens[%d]", path, i, j)
			}
		}
		all = append(all, id)
	}
	return all, nil
}

var yamlLine = regexp.MustCompile(`line (\d+):`)

// lines returns the lines that a YAML error names. The rest of it may repeat what
// the file holds.
func lines(err error) string {
	var at []string
	for _, m := range yamlLine.FindAllStringSubmatch(err.Error(), -1) {
		at = append(at, m[1])
	}
	if len(at) == 0 {
		return ""
	}
	return " line " + strings.Join(slices.Compact(at), ", ")
}

func (e TokenEntry) identity(read func(string) ([]byte, error)) (identity, error) {
	id := identity{name: e.Name, role: e.Role}
	if err := checkName(e.Name); err != nil {
		return id, fmt.Errorf("name: %w", err)
	}
	if _, err := ParseRole(string(e.Role)); err != nil {
		return id, fmt.Errorf("role: %w", err)
	}
	if e.Expires != "" {
		at, err := time.Parse(time.RFC3339, e.Expires)
		if err != nil {
			return id, errors.New("expires: want a time like 2027-01-31T00:00:00Z")
		}
		id.expires = at
	}
	switch {
	case (e.SHA256 == "") == (e.File == ""):
		return id, errors.New("sha256: give it or file, and not both")
	case e.SHA256 != "":
		sum, err := hex.DecodeString(e.SHA256)
		if err != nil || len(sum) != sha256.Size {
			return id, errors.New("sha256: want 64 hexadecimal digits")
		}
		id.sum = [sha256.Size]byte(sum)
		return id, nil
	}
	b, err := read(e.File)
	if err != nil {
		return id, fmt.Errorf("file: %w", err)
	}
	b = bytes.TrimSpace(b)
	if len(b) < minToken {
		return id, fmt.Errorf("file: the token is shorter than %d bytes", minToken)
	}
	id.sum = sha256.Sum256(b)
	return id, nil
}

// identify returns whose token it is. It takes the same time for every token that
// is not known.
func (t *Tokens) identify(token string, now time.Time) (identity, error) {
	sum := sha256.Sum256([]byte(token))
	var found *identity
	all := t.file.get()
	for i := range all {
		if subtle.ConstantTimeCompare(sum[:], all[i].sum[:]) == 1 {
			found = &all[i]
		}
	}
	switch {
	case token == "":
		return identity{}, fmt.Errorf("%w: there is no token: send the header Authorization: Bearer, by --token-file or SHARDFERRY_TOKEN", ErrUnauthorized)
	case found == nil:
		return identity{}, fmt.Errorf("%w: the token is not known", ErrUnauthorized)
	case !found.expires.IsZero() && !now.Before(found.expires):
		return identity{}, fmt.Errorf("%w: the token of %s has expired at %s", ErrUnauthorized, found.name, found.expires.UTC().Format(time.RFC3339))
	}
	return *found, nil
}

// A TokenInfo is what may be said about a token.
type TokenInfo struct {
	Name    string     `json:"name"`
	Role    Role       `json:"role"`
	Expires *time.Time `json:"expires,omitempty"`
	Expired bool       `json:"expired,omitempty"`
}

// list returns the tokens without their secrets.
func (t *Tokens) list(now time.Time) []TokenInfo {
	out := []TokenInfo{}
	for _, id := range t.file.get() {
		info := TokenInfo{Name: id.name, Role: id.role}
		if !id.expires.IsZero() {
			info.Expires, info.Expired = &id.expires, !now.Before(id.expires)
		}
		out = append(out, info)
	}
	return out
}
