package rtmp

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// subscriber gets the tags of a stream. Its methods are called with the
// stream locked and do not block.
type subscriber interface {
	deliver(t *tag)
	// end tells that no tag follows.
	end()
}

// hubStream is a stream while it is being published: what a new player needs,
// and who listens.
type hubStream struct {
	name     string
	remote   string // address of the publisher, "" for one of this program
	began    time.Time
	cacheMax int
	needKey  func()
	kick     func() // ends the publisher

	mu           sync.Mutex
	ended        bool
	last         time.Time // of the last tag
	meta         *tag
	video, audio *tag // sequence headers
	videoCodec   media.Codec
	audioCodec   media.Codec
	gop          []tag // from the last key frame on
	gopBytes     int
	bytes        uint64
	frames       uint64
	subs         map[subscriber]struct{}
}

// write passes a tag on to everybody.
func (h *hubStream) write(t tag) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return
	}
	if t.metadata() {
		t.time = 0 // see muxer.metadata
	}
	h.last = time.Now()
	h.bytes += uint64(len(t.payload))
	h.remember(t)
	for s := range h.subs {
		s.deliver(&t)
	}
}

// remember keeps what a player that joins later needs.
func (h *hubStream) remember(t tag) {
	switch {
	case t.metadata():
		h.meta = &t
		return
	case t.kind == kindData: // text, cue points: for those who are there
		return
	case t.config && t.kind == kindVideo:
		h.video, h.videoCodec = &t, t.codec
		return
	case t.config:
		h.audio, h.audioCodec = &t, t.codec
		return
	case t.kind == kindAudio:
		if t.codec != "" {
			h.audioCodec = t.codec
		}
	case t.key:
		clear(h.gop)
		h.gop, h.gopBytes = h.gop[:0], 0
	}
	h.frames++
	if len(h.gop) == 0 && !t.key {
		return
	}
	// A group of pictures that is too long is no use to a player that wants
	// to be live: the next key frame is waited for.
	const most = 16384 // tags
	h.gop = append(h.gop, t)
	if h.gopBytes += len(t.payload); h.gopBytes > h.cacheMax || len(h.gop) > most {
		h.gop, h.gopBytes = nil, 0
	}
}

// join adds a subscriber and brings it up to date. It returns false if the
// stream has ended.
func (h *hubStream) join(s subscriber) bool {
	h.mu.Lock()
	if h.ended {
		h.mu.Unlock()
		return false
	}
	for _, t := range []*tag{h.meta, h.video, h.audio} {
		if t != nil {
			at := *t
			if len(h.gop) > 0 && t != h.meta {
				at.time = h.gop[0].time
			}
			s.deliver(&at)
		}
	}
	for i := range h.gop {
		s.deliver(&h.gop[i])
	}
	h.subs[s] = struct{}{}
	// Without a picture, or with one from long ago.
	wanted := h.video != nil && (len(h.gop) == 0 || h.gop[len(h.gop)-1].time-h.gop[0].time > 1000)
	h.mu.Unlock()
	if wanted && h.needKey != nil {
		h.needKey()
	}
	return true
}

func (h *hubStream) leave(s subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subs, s)
}

// end tells everybody that the stream is over.
func (h *hubStream) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return
	}
	h.ended = true
	for s := range h.subs {
		s.end()
	}
	h.subs, h.gop = nil, nil
}

// silent tells for how long nothing came.
func (h *hubStream) silent() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Since(h.last)
}

// StreamInfo describes a stream of a [Server].
type StreamInfo struct {
	Name   string // application/stream
	Remote string // address of the publisher, empty for one of this program
	Since  time.Time
	// Video and Audio are the codecs, empty for none or one that trunkcast
	// does not know.
	Video, Audio media.Codec
	Bytes        uint64 // of media that came
	Frames       uint64
	Players      int
}

func (h *hubStream) info() StreamInfo {
	h.mu.Lock()
	defer h.mu.Unlock()
	return StreamInfo{
		Name: h.name, Remote: h.remote, Since: h.began, Video: h.videoCodec, Audio: h.audioCodec,
		Bytes: h.bytes, Frames: h.frames, Players: len(h.subs),
	}
}

// hub holds the streams of a server by name.
type hub struct {
	mu      sync.Mutex
	closed  bool
	streams map[string]*hubStream
}

// A publisher that was silent for this long gives way to a new one of the
// same name: its connection is dead, though nobody noticed.
const staleAfter = 5 * time.Second

// publish registers a stream.
func (b *hub) publish(h *hubStream, most int) error {
	for {
		b.mu.Lock()
		if b.closed {
			b.mu.Unlock()
			return ErrServerClosed
		}
		old := b.streams[h.name]
		if old == nil {
			defer b.mu.Unlock()
			if len(b.streams) >= most {
				return errTooManyStreams
			}
			if b.streams == nil {
				b.streams = map[string]*hubStream{}
			}
			h.began = time.Now()
			h.last = h.began
			h.subs = map[subscriber]struct{}{}
			b.streams[h.name] = h
			return nil
		}
		b.mu.Unlock()
		if old.silent() < staleAfter || old.kick == nil {
			return ErrStreamBusy
		}
		b.remove(old)
		old.kick()
	}
}

// remove ends a stream.
func (b *hub) remove(h *hubStream) {
	b.mu.Lock()
	if b.streams[h.name] == h {
		delete(b.streams, h.name)
	}
	b.mu.Unlock()
	h.end()
}

func (b *hub) find(name string) *hubStream {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.streams[strings.Trim(name, "/")]
}

func (b *hub) list() []StreamInfo {
	b.mu.Lock()
	all := make([]*hubStream, 0, len(b.streams))
	for _, h := range b.streams {
		all = append(all, h)
	}
	b.mu.Unlock()
	infos := make([]StreamInfo, len(all))
	for i, h := range all {
		infos[i] = h.info()
	}
	slices.SortFunc(infos, func(x, y StreamInfo) int { return strings.Compare(x.Name, y.Name) })
	return infos
}

// closeAll ends every stream and lets no new one in.
func (b *hub) closeAll() {
	b.mu.Lock()
	b.closed = true
	all := b.streams
	b.streams = nil
	b.mu.Unlock()
	for _, h := range all {
		h.end()
	}
}
