package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// Folders keeps volumes and snapshots: Root/volumes/ID and Root/snapshots/ID.
// Making one that is there, and removing one that is not, does nothing.
type Folders struct {
	Root string
}

// Volume returns where a volume is.
func (f Folders) Volume(id string) string {
	return filepath.Join(f.Root, "volumes", filepath.Base(id))
}

// Snapshot returns where a snapshot is.
func (f Folders) Snapshot(id string) string {
	return filepath.Join(f.Root, "snapshots", filepath.Base(id))
}

// Make makes an empty folder that everybody may write to.
func (f Folders) Make(folder string) error {
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	return os.Chmod(folder, 0o777)
}

// Copy copies a folder with all that files carry; it appears whole or not at all.
func (f Folders) Copy(from, to string) error {
	if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	half := to + ".half"
	if err := os.RemoveAll(half); err != nil {
		return err
	}
	if output, err := exec.Command("cp", "-a", "--reflink=auto", from, half).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	return os.Rename(half, to)
}

// Remove removes a folder.
func (f Folders) Remove(folder string) error {
	return os.RemoveAll(folder)
}
