package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"

	"github.com/shardferry/shardferry"
)

// settings are the options of sync, from flags, environment or a file. Flags
// win over the environment, and both over the file.
type settings struct {
	Source          string        `yaml:"source"`
	SourceFile      string        `yaml:"sourceFile"`
	Destination     string        `yaml:"destination"`
	DestinationFile string        `yaml:"destinationFile"`
	DataDir         string        `yaml:"dataDir"`
	CommitBudget    time.Duration `yaml:"commitBudget"`
	GiveUpAfter     time.Duration `yaml:"giveUpAfter"`
	MemoryMiB       int           `yaml:"memoryMiB"`
	Lanes           int           `yaml:"lanes"`
	Copiers         int           `yaml:"copiers"`
	Irreversible    bool          `yaml:"irreversible"`
	KeepBalancer    bool          `yaml:"keepBalancer"`
	WithUsers       bool          `yaml:"withUsers"`
	LogLevel        string        `yaml:"logLevel"`

	API       apiSettings          `yaml:",inline"`
	Selection shardferry.Selection `yaml:",inline"`
}

func settingsFlags() []cli.Flag {
	return slices.Concat([]cli.Flag{
		&cli.StringFlag{Name: "source", Usage: "URI of the cluster to move", EnvVars: []string{"SHARDFERRY_SOURCE"}},
		&cli.StringFlag{Name: "source-file", Usage: "file that holds this URI, so that no password is on the command line"},
		&cli.StringFlag{Name: "destination", Usage: "URI of the empty cluster to move to", EnvVars: []string{"SHARDFERRY_DESTINATION"}},
		&cli.StringFlag{Name: "destination-file", Usage: "file that holds this URI"},
		&cli.StringFlag{Name: "data-dir", Usage: "where the state is kept; the same directory continues", Value: "shardferry-data", EnvVars: []string{"SHARDFERRY_DATA_DIR"}},
		&cli.StringFlag{Name: "config", Usage: "YAML file with these settings (source, destination, dataDir, apiAddr, ...)"},
		&cli.DurationFlag{Name: "commit-budget", Usage: "how long a commit may block writes before it is given up", Value: 5 * time.Minute},
		&cli.DurationFlag{Name: "give-up-after", Usage: "how long something may fail without any progress before the sync pauses, with everything kept", Value: 30 * time.Minute},
		&cli.IntFlag{Name: "memory-mib", Usage: "how much memory the process may take, in MiB", Value: 512},
		&cli.IntFlag{Name: "lanes", Usage: "appliers of change events for each shard", Value: 8},
		&cli.IntFlag{Name: "copiers", Usage: "ranges copied at a time for each shard", Value: 4},
		&cli.BoolFlag{Name: "irreversible", Usage: "do not keep the way back open after the commit"},
		&cli.BoolFlag{Name: "keep-balancer", Usage: "let the balancer of the source run on; what it moves is followed"},
		&cli.BoolFlag{Name: "with-users", Usage: "bring users and roles over too, with their credentials"},
		&cli.StringFlag{Name: "log-level", Usage: "debug, info, warn or error", Value: "warn"},
	}, apiFlags(), selectionFlags())
}

func readSettings(c *cli.Context) (settings, error) {
	var s settings
	if path := c.String("config"); path != "" {
		if err := s.load(path); err != nil {
			return s, usage("%w", err)
		}
	}
	err := s.take(c)
	return s, err
}

// take copies flags and the environment into what came from a file.
func (s *settings) take(c *cli.Context) error {
	if err := takeURI(c, "source", &s.Source, s.SourceFile); err != nil {
		return err
	}
	if err := takeURI(c, "destination", &s.Destination, s.DestinationFile); err != nil {
		return err
	}
	take(c, "data-dir", c.String, &s.DataDir)
	s.API.take(c)
	take(c, "commit-budget", c.Duration, &s.CommitBudget)
	take(c, "give-up-after", c.Duration, &s.GiveUpAfter)
	take(c, "memory-mib", c.Int, &s.MemoryMiB)
	take(c, "lanes", c.Int, &s.Lanes)
	take(c, "copiers", c.Int, &s.Copiers)
	take(c, "irreversible", c.Bool, &s.Irreversible)
	take(c, "keep-balancer", c.Bool, &s.KeepBalancer)
	take(c, "with-users", c.Bool, &s.WithUsers)
	take(c, "log-level", c.String, &s.LogLevel)
	if err := takeSelection(c, &s.Selection); err != nil {
		return err
	}
	return s.validate()
}

// take copies a flag into the settings if it was given, or if the file left the
// setting empty.
func take[T comparable](c *cli.Context, flag string, get func(string) T, into *T) {
	var zero T
	if c.IsSet(flag) || *into == zero {
		*into = get(flag)
	}
}

// limitMemory lets the garbage collector work harder when the process comes near
// what it may take. GOMEMLIMIT wins.
func (s *settings) limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(s.MemoryMiB) << 20 * 9 / 10)
	}
}

func (s *settings) load(path string) error { return loadFile(path, s, "") }

// loadFile reads a configuration file. more are the settings that into has beside
// those of sync.
func loadFile(path string, into any, more string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	dec := yaml.NewDecoder(f)
	dec.KnownFields(true)
	err = dec.Decode(into)
	if err != nil && !errors.Is(err, io.EOF) {
		// The decoder's message may repeat a password; the lines that it names do not.
		return fmt.Errorf("--config %s%s: not settings that are known (source, sourceFile, destination, destinationFile, dataDir, apiAddr, tokensFile, apiTLSCert, apiTLSKey, apiClientCA, apiRate, insecure, commitBudget, giveUpAfter, memoryMiB, lanes, copiers, irreversible, keepBalancer, withUsers, logLevel, includeNamespaces, excludeNamespaces, namespaceRemap, collectionRemap, documentFilters%s)", path, wrongLines(err), more)
	}
	return nil
}

var lineNumber = regexp.MustCompile(`line (\d+):`)

// wrongLines returns the lines that a YAML error names.
func wrongLines(err error) string {
	var lines []string
	for _, m := range lineNumber.FindAllStringSubmatch(err.Error(), -1) {
		lines = append(lines, m[1])
	}
	if len(lines) == 0 {
		return ""
	}
	return " line " + strings.Join(slices.Compact(lines), ", ")
}

// takeURI settles where a cluster is. Flags and the environment win over the
// configuration file, whose own two ways are in uri and file.
func takeURI(c *cli.Context, name string, uri *string, file string) error {
	byFlag, byFile := c.IsSet(name), c.IsSet(name+"-file")
	switch {
	case byFlag && byFile:
		return usage("--%s (or SHARDFERRY_%s) and --%s-file: give only one of them", name, strings.ToUpper(name), name)
	case byFlag:
		*uri = c.String(name)
		return nil
	case byFile:
		file = c.String(name + "-file")
	case *uri != "" && file != "":
		return usage("--config: %s and %sFile: give only one of them", name, name)
	}
	if file == "" {
		return nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return usage("%s URI from a file: %w", name, err)
	}
	*uri = strings.TrimSpace(string(b))
	return nil
}

// visiblePasswords returns the flags by which a password has come onto the
// command line.
func visiblePasswords(s settings, args []string) []string {
	var flags []string
	for _, u := range []struct{ flag, uri string }{{"source", s.Source}, {"destination", s.Destination}} {
		_, rest, _ := strings.Cut(u.uri, "://")
		user, _, _ := strings.Cut(rest, "@")
		if strings.Contains(user, ":") && strings.Contains(rest, "@") &&
			slices.ContainsFunc(args, func(a string) bool { return strings.HasSuffix(a, u.uri) }) {
			flags = append(flags, u.flag)
		}
	}
	return flags
}

func (s *settings) validate() error {
	switch {
	case s.Source == "":
		return usage("--source is missing: give the URI of the cluster to move")
	case s.Destination == "":
		return usage("--destination is missing: give the URI of the cluster to move to")
	case s.CommitBudget < 0:
		return usage("--commit-budget %v: want a positive duration", s.CommitBudget)
	case s.GiveUpAfter < 0:
		return usage("--give-up-after %v: want a positive duration", s.GiveUpAfter)
	case s.MemoryMiB < 128:
		return usage("--memory-mib %d: want at least 128", s.MemoryMiB)
	case s.Lanes < 0 || s.Lanes > 256:
		return usage("--lanes %d: want 1 to 256", s.Lanes)
	case s.Copiers < 0 || s.Copiers > 64:
		return usage("--copiers %d: want 1 to 64", s.Copiers)
	case s.WithUsers && !s.Selection.IsZero():
		return usage("--with-users: users and roles belong to the whole cluster: leave --include, --exclude, --rename-database, --rename-collection and --document-filter out")
	case s.DataDir == "":
		return usage("--data-dir is empty: give a directory")
	}
	return s.API.validate()
}
