package httpfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/media"
)

const (
	blockSize = 128 << 10
	maxBlocks = 32 // kept: 4 MiB
	// maxSkip is how far ahead is read through rather than asked for anew.
	maxSkip = 512 << 10
	// maxThrown bounds what is read and thrown away of a server without ranges
	// to get to a place.
	maxThrown = 64 << 20
	tries     = 2 // of each block
)

// file is an io.ReaderAt of a file on a web server. One response is read on
// for as long as the places that are wanted follow each other.
type file struct {
	client *http.Client
	url    string
	stall  time.Duration
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex // of one ReadAt at a time
	length int64
	tag    string // of the file's state: ETag or Last-Modified
	blocks map[int64][]byte
	recent []int64 // numbers of blocks, the last used at the end
	body   io.ReadCloser
	at     int64 // place of body in the file
	done   context.CancelFunc
}

func newFile(client *http.Client, address string, stall time.Duration) *file {
	f := &file{client: client, url: address, stall: stall, blocks: map[int64][]byte{}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// size asks for the beginning of the file and returns its size.
func (f *file) size() (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.open(0); err != nil {
		return 0, err
	}
	return f.length, nil
}

// ReadAt reads by blocks.
func (f *file) ReadAt(p []byte, off int64) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n < len(p) {
		at := off + int64(n)
		if at >= f.length {
			return n, io.EOF
		}
		b, err := f.block(at / blockSize)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], b[at%blockSize:])
	}
	return n, nil
}

// block returns a block of the file, which is short only at its end.
func (f *file) block(number int64) ([]byte, error) {
	if b, ok := f.blocks[number]; ok {
		f.touch(number)
		return b, nil
	}
	var err error
	for range tries {
		var b []byte
		if b, err = f.fetch(number); err == nil {
			f.keep(number, b)
			return b, nil
		}
		f.drop()
		if f.ctx.Err() != nil {
			return nil, media.ErrClosed
		}
		var status *StatusError
		if errors.As(err, &status) || errors.Is(err, ErrChanged) || errors.Is(err, ErrNoRanges) || errors.Is(err, ErrStalled) {
			break // it would say the same again
		}
	}
	return nil, err
}

func (f *file) touch(number int64) {
	for i, n := range f.recent {
		if n == number {
			f.recent = append(append(f.recent[:i], f.recent[i+1:]...), number)
			return
		}
	}
}

func (f *file) keep(number int64, b []byte) {
	if len(f.recent) == maxBlocks {
		delete(f.blocks, f.recent[0])
		f.recent = append(f.recent[:0], f.recent[1:]...)
	}
	f.blocks[number] = b
	f.recent = append(f.recent, number)
}

// fetch reads a block from the server.
func (f *file) fetch(number int64) ([]byte, error) {
	from := number * blockSize
	if f.body == nil || from < f.at || from-f.at > maxSkip {
		f.drop()
		if err := f.open(from); err != nil {
			return nil, err
		}
	}
	for f.at < from { // what lies between is kept, too, if it is whole
		if f.at%blockSize != 0 || from-f.at < blockSize {
			if _, err := f.read(make([]byte, min(from-f.at, blockSize-f.at%blockSize))); err != nil {
				return nil, err
			}
			continue
		}
		between := f.at / blockSize
		b := make([]byte, blockSize)
		if _, err := f.read(b); err != nil {
			return nil, err
		}
		if _, ok := f.blocks[between]; !ok && from-f.at <= maxSkip {
			f.keep(between, b)
		}
	}
	b := make([]byte, min(blockSize, f.length-from))
	_, err := f.read(b)
	return b, err
}

// read fills b from the body, whose server must not stall.
func (f *file) read(b []byte) (n int, err error) {
	for n < len(b) {
		stalled := time.AfterFunc(f.stall, f.done)
		k, err := f.body.Read(b[n:])
		late := !stalled.Stop()
		n += k
		f.at += int64(k)
		switch {
		case n == len(b):
		case late && f.ctx.Err() == nil:
			return n, fmt.Errorf("%w: nothing in %v", ErrStalled, f.stall)
		case err == io.EOF:
			return n, io.ErrUnexpectedEOF
		case err != nil:
			return n, err
		}
	}
	return n, nil
}

// open asks for the file from a place on.
func (f *file) open(from int64) error {
	ctx, done := context.WithCancel(f.ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		done()
		return err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	res, err := f.client.Do(req)
	if err != nil {
		done()
		return withoutURL(err)
	}
	f.body, f.done = res.Body, done
	if err := f.accept(res, from); err != nil {
		f.drop()
		return err
	}
	return nil
}

// withoutURL takes the URL, which may hold secrets, out of an error of the
// client.
func withoutURL(err error) error {
	var u *url.Error
	if !errors.As(err, &u) {
		return err
	}
	if u.Timeout() {
		return fmt.Errorf("%w: %w", ErrStalled, u.Err)
	}
	return u.Err
}

// accept takes the head of a response.
func (f *file) accept(res *http.Response, from int64) error {
	length := res.ContentLength
	switch res.StatusCode {
	case http.StatusPartialContent:
		start, total, ok := contentRange(res.Header.Get("Content-Range"))
		if !ok || start != from {
			return fmt.Errorf("httpfile: the server answered with another range: %q", res.Header.Get("Content-Range"))
		}
		f.at, length = from, total
	case http.StatusOK:
		f.at = 0
	case http.StatusNotFound, http.StatusGone:
		return fmt.Errorf("%w: %w", inject.ErrNoSource, &StatusError{res.StatusCode})
	default:
		return &StatusError{res.StatusCode}
	}
	if length <= 0 {
		return errors.New("httpfile: the server does not tell the size of the file: is it a live stream?")
	}
	tag := res.Header.Get("ETag")
	if tag == "" {
		tag = res.Header.Get("Last-Modified")
	}
	if f.length != 0 && (length != f.length || tag != f.tag) {
		return ErrChanged
	}
	f.length, f.tag = length, tag
	return f.throw(from - f.at)
}

// throw reads n bytes of a server that began at the start.
func (f *file) throw(n int64) error {
	if n > maxThrown {
		return ErrNoRanges
	}
	for n > 0 {
		b := make([]byte, min(n, blockSize))
		k, err := f.read(b)
		if err != nil {
			return err
		}
		n -= int64(k)
	}
	return nil
}

// contentRange reads "bytes 0-99/1000" (RFC 9110, section 14.4).
func contentRange(s string) (start, total int64, ok bool) {
	s, ok = strings.CutPrefix(s, "bytes ")
	span, size, ok2 := strings.Cut(s, "/")
	first, _, ok3 := strings.Cut(span, "-")
	start, err1 := strconv.ParseInt(first, 10, 64)
	total, err2 := strconv.ParseInt(size, 10, 64)
	return start, total, ok && ok2 && ok3 && err1 == nil && err2 == nil && start >= 0 && total > start
}

// drop ends the response that is being read.
func (f *file) drop() {
	if f.body == nil {
		return
	}
	f.done()
	_ = f.body.Close()
	f.body = nil
}

// Close ends a read that is under way.
func (f *file) Close() error {
	f.cancel()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop()
	return nil
}
