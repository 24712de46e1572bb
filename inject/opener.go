package inject

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/trunkcast/trunkcast/media"
)

// An Opener finds a source by its URL. Its method may be called concurrently.
// An error that the URL's owner can mend wraps ErrNoSource. URLs may carry
// secrets: errors tell their scheme only.
type Opener interface {
	Open(ctx context.Context, url string) (media.Source, error)
}

// OpenerFunc is a function that is an [Opener].
type OpenerFunc func(ctx context.Context, url string) (media.Source, error)

// Open calls fn.
func (fn OpenerFunc) Open(ctx context.Context, url string) (media.Source, error) { return fn(ctx, url) }

// Mux chooses an Opener by the scheme of the URL, in lower case: "vod",
// "rtmp".
type Mux map[string]Opener

// Open gives the URL to the opener of its scheme.
func (m Mux) Open(ctx context.Context, url string) (media.Source, error) {
	scheme, _, err := splitURL(url)
	if err != nil {
		return nil, err
	}
	o := m[scheme]
	if o == nil {
		return nil, fmt.Errorf("%w: nothing opens the scheme %q", ErrNoSource, scheme)
	}
	return o.Open(ctx, url)
}

// splitURL cuts a URL after its scheme (RFC 3986, section 3.1).
func splitURL(url string) (scheme, rest string, err error) {
	scheme, rest, ok := strings.Cut(url, "://")
	bad := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("+-.", r))
	}
	if !ok || scheme == "" || strings.ContainsFunc(scheme, bad) {
		return "", "", fmt.Errorf("%w: a URL without a scheme", ErrNoSource)
	}
	return strings.ToLower(scheme), rest, nil
}

// FolderOpener opens the files of a folder: vod://clip.mp4 is clip.mp4 in it,
// vod://en/clip.mp4 is that in the folder en. Nothing outside is reached, not
// by "..", and not by symbolic links. Any scheme is taken.
type FolderOpener struct {
	// Dir is the folder.
	Dir string
	// File tells how the files are read.
	File FileOptions
}

// Open opens a file. A name that is not there or is no plain file gives
// ErrNoSource; for the others see the function Open.
func (o FolderOpener) Open(ctx context.Context, url string) (media.Source, error) {
	name, err := fileName(url)
	if err != nil {
		return nil, err
	}
	f, size, err := o.open(name)
	if err != nil {
		return nil, err
	}
	source, err := Open(ctx, f, size, o.File)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return source, nil
}

func fileName(address string) (string, error) {
	_, rest, err := splitURL(address)
	if err != nil {
		return "", err
	}
	name, err := url.PathUnescape(rest)
	if err != nil || !filepath.IsLocal(filepath.FromSlash(name)) || strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("%w: bad file name", ErrNoSource)
	}
	return filepath.FromSlash(name), nil
}

func (o FolderOpener) open(name string) (*os.File, int64, error) {
	root, err := os.OpenRoot(o.Dir)
	if err != nil {
		return nil, 0, fmt.Errorf("inject: media folder: %w", err)
	}
	defer root.Close()
	// Before it is opened: opening a pipe waits for somebody who writes to it.
	info, err := root.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a plain file")
	}
	if err != nil {
		return nil, 0, noFile(name, err)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, 0, noFile(name, err)
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, 0, noFile(name, err)
	}
	return f, info.Size(), nil
}

// noFile tells what is wrong with a file, without the path of the folder.
func noFile(name string, err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("%w: file %s: %w", ErrNoSource, name, err)
}
