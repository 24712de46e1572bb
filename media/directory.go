package media

import (
	"errors"
	"maps"
	"slices"
	"sync"
)

// ErrNameTaken tells that a name in a [Directory] is in use.
var ErrNameTaken = errors.New("media: stream name in use")

// Directory holds named streams. The zero value is empty and ready. Its
// methods may be called concurrently.
type Directory struct {
	mu      sync.Mutex
	streams map[string]*Stream
}

// listing is an entry that leaves a Directory when its stream is done.
type listing struct {
	directory *Directory
	name      string
}

// Add puts a stream in, which leaves by itself right before it is Done. A name
// in use gives ErrNameTaken, a stream that is done ErrClosed.
func (d *Directory) Add(name string, s *Stream) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.streams[name] != nil {
		return ErrNameTaken
	}
	if !s.listed(listing{d, name}) {
		return ErrClosed
	}
	if d.streams == nil {
		d.streams = map[string]*Stream{}
	}
	d.streams[name] = s
	return nil
}

// Get returns the stream of that name, nil if there is none.
func (d *Directory) Get(name string) *Stream {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.streams[name]
}

// Names returns the names in alphabetical order.
func (d *Directory) Names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.streams))
}

// Remove takes a stream out if it is the one of that name.
func (d *Directory) Remove(name string, s *Stream) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s != nil && d.streams[name] == s {
		delete(d.streams, name)
	}
}
