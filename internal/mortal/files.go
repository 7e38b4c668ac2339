package mortal

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// files are the contents of a directory by relative path.
type files map[string][]byte

func readFiles(dir string) (files, error) {
	all := files{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		all[rel] = b
		return err
	})
	return all, err
}

func (f files) write(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil { // there may be no file yet
		return fmt.Errorf("restore the data directory: %w", err)
	}
	for rel, b := range f {
		path := filepath.Join(dir, rel)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("restore the data directory: %w", err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return fmt.Errorf("restore the data directory: %w", err)
		}
	}
	return nil
}
