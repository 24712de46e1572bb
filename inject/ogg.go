package inject

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"sort"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// Ogg pages (RFC 3533, section 6): 27 bytes, a table of segment lengths, and
// the segments, of which those of 255 bytes go on in the next one.
const (
	oggHeader    = 27
	oggContinued = 1
	oggEnd       = 4
	oggSegment   = 255
	// noGranule is that of a page on which no packet ends.
	noGranule = -1

	maxOpusPacket = 61440 // RFC 7845, section 6: what a mono or stereo packet can need
	opusRate      = 48000
)

// oggPage is the header of a page.
type oggPage struct {
	flags   byte
	granule int64 // samples up to the end of its last packet
	serial  uint32
	lacing  []byte
	body    int64 // where the segments begin in the file
	end     int64
}

func readOggPage(r io.ReaderAt, off, size int64) (oggPage, error) {
	b := make([]byte, min(oggHeader+oggSegment, max(size-off, 0)))
	if err := readFull(r, b, off); err != nil {
		return oggPage{}, fmt.Errorf("inject: Ogg page at %d: %w", off, err)
	}
	if len(b) < oggHeader || string(b[:4]) != "OggS" || b[4] != 0 || len(b) < oggHeader+int(b[26]) {
		return oggPage{}, boundsError("no Ogg page at %d", off)
	}
	p := oggPage{
		flags: b[5], granule: int64(binary.LittleEndian.Uint64(b[6:])), serial: binary.LittleEndian.Uint32(b[14:]),
		lacing: b[oggHeader : oggHeader+int(b[26])], body: off + oggHeader + int64(b[26]),
	}
	p.end = p.body
	for _, n := range p.lacing {
		p.end += int64(n)
	}
	return p, nil
}

// ogg reads an Ogg file with one Opus stream (RFC 7845).
type ogg struct {
	merger
	r       io.ReaderAt
	size    int64
	serial  uint32
	track   *media.Track
	preSkip int64
	origin  int64 // granule before the first packet
	last    int64 // granule of the last page
	index   []oggIndex

	ahead   int64  // where the next page is
	page    []byte // segments of the present one
	lacing  []byte
	packet  []byte // begun on an earlier page
	broken  bool   // and without its beginning
	samples int64  // granule at the next packet
	from    int64  // what ends before it is left away
	damaged uint64
	ended   bool
	pending *media.Frame // was read already
}

// oggIndex is a page that begins with a new packet.
type oggIndex struct {
	off     int64
	samples int64 // granule at its beginning
}

func openOgg(ctx context.Context, r io.ReaderAt, size int64, o FileOptions) (demuxer, error) {
	if o.NoAudio {
		return nil, fmt.Errorf("%w: an Ogg file without its sound", ErrNotMedia)
	}
	g := &ogg{r: r, size: size}
	if err := g.headers(ctx); err != nil {
		return nil, err
	}
	if err := g.scan(ctx); err != nil {
		return nil, err
	}
	g.length = duration(max(g.last-g.origin-g.preSkip, 0), opusRate)
	g.add(g)
	_, err := g.seek(0)
	return g, err
}

// headers reads the first pages, which hold one header each, and passes over
// the comments.
func (g *ogg) headers(ctx context.Context) error {
	for range maxTracks {
		p, err := readOggPage(g.r, g.ahead, g.size)
		if err != nil {
			return err
		}
		head := make([]byte, min(p.end-p.body, 64, g.size-p.body))
		if err := readFull(g.r, head, p.body); err != nil {
			return fmt.Errorf("inject: Ogg header: %w", err)
		}
		g.ahead = p.end
		if len(head) < 8 || string(head[:8]) != "OpusHead" {
			if p.flags&2 != 0 {
				continue // another stream
			}
			return &ErrUnsupportedCodec{Codec: "Ogg", Reason: "no Opus in it"}
		}
		track, skip, err := opusHead(head)
		if err != nil {
			return err
		}
		g.track, g.preSkip, g.serial = track, int64(skip), p.serial
		return g.comments(ctx)
	}
	return &ErrUnsupportedCodec{Codec: "Ogg", Reason: "no Opus in it"}
}

// comments passes over the comment header, which may take many pages. The
// first sound begins on a page of its own.
func (g *ogg) comments(ctx context.Context) error {
	for {
		p, err := g.pageOf(ctx)
		if err != nil {
			return err
		}
		if n := len(p.lacing); n > 0 && p.lacing[n-1] < oggSegment {
			return nil
		}
	}
}

// pageOf returns the next page of the stream, io.EOF after the last one.
func (g *ogg) pageOf(ctx context.Context) (oggPage, error) {
	for {
		if err := ctx.Err(); err != nil {
			return oggPage{}, err
		}
		if g.ahead >= g.size-oggHeader {
			return oggPage{}, io.EOF
		}
		p, err := readOggPage(g.r, g.ahead, g.size)
		if err != nil {
			return p, err
		}
		if p.end > g.size {
			return p, io.EOF // cut short
		}
		g.ahead = p.end
		if p.serial == g.serial {
			return p, nil
		}
	}
}

// scan goes through the pages once to find the length and, for each second, a
// place to begin at.
func (g *ogg) scan(ctx context.Context) error {
	g.origin, g.last = -1, -1
	for {
		p, err := g.pageOf(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if g.origin < 0 {
			if err := g.first(p); err != nil {
				return err
			}
		} else if n := len(g.index); p.flags&oggContinued == 0 && (n == 0 || g.last-g.index[n-1].samples >= opusRate) {

			g.index = append(g.index, oggIndex{p.body - oggHeader - int64(len(p.lacing)), g.last})
		}
		if p.granule != noGranule {
			if p.granule < g.last || p.granule > math.MaxInt64/4 {
				return boundsError("Ogg page of time %d after %d", p.granule, g.last)
			}
			g.last = p.granule
		}
		if p.flags&oggEnd != 0 {
			break
		}
	}
	if g.origin < 0 || g.last <= g.origin {
		return fmt.Errorf("%w: Ogg without sound", ErrNotMedia)
	}
	if d := (g.last - g.origin) / opusRate; d > int64(maxDuration/time.Second) {
		return boundsError("Ogg file of %d s", d)
	}
	return nil
}

// first finds at what time the first page with sound begins: a cut out of a
// live stream does not begin at 0.
func (g *ogg) first(p oggPage) error {
	if p.granule == noGranule {
		g.origin, g.last = 0, 0
	} else {
		body := make([]byte, p.end-p.body)
		if err := readFull(g.r, body, p.body); err != nil {
			return fmt.Errorf("inject: Ogg page: %w", err)
		}
		var length int64
		for _, n := range packetsOf(p.lacing) {
			length += int64(opusPacketLength(body[:n]))
			body = body[n:]
		}
		// The last page may end before its packets do: so may the only one.
		g.origin = max(p.granule-length, 0)
		g.last = g.origin
	}
	g.index = []oggIndex{{p.body - oggHeader - int64(len(p.lacing)), g.origin}}
	return nil
}

// packetsOf returns the lengths of the packets that end on a page.
func packetsOf(lacing []byte) (lengths []int) {
	n := 0
	for _, l := range lacing {
		n += int(l)
		if l < oggSegment {
			lengths = append(lengths, n)
			n = 0
		}
	}
	return lengths
}

func (g *ogg) skipped() uint64       { return g.damaged }
func (g *ogg) current() *media.Track { return g.track }
func (g *ogg) start() time.Duration  { return 0 }

func (g *ogg) peek(ctx context.Context) (time.Duration, bool, error) {
	for g.pending == nil {
		b, err := g.readPacket(ctx)
		if err == io.EOF {
			return 0, false, nil
		}
		if err != nil {
			return 0, false, err
		}
		length := int64(opusPacketLength(b))
		if length == 0 {
			g.damaged++
			continue
		}
		if g.samples >= g.last {
			return 0, false, nil
		}
		at := duration(g.samples-g.origin, opusRate)
		if g.samples += length; g.samples > g.from {
			g.pending = &media.Frame{Track: g.track, PTS: at, DTS: at, Data: [][]byte{b}}
		}
	}
	return g.pending.DTS, true, nil
}

func (g *ogg) take() (*media.Frame, error) {
	f := g.pending
	g.pending = nil
	return f, nil
}

func (g *ogg) rewind() error {
	g.place(0)
	return nil
}

// readPacket returns the next packet.
func (g *ogg) readPacket(ctx context.Context) ([]byte, error) {
	for {
		for len(g.lacing) == 0 {
			if err := g.loadPage(ctx); err != nil {
				return nil, err
			}
		}
		n, used, whole := 0, 0, false
		for used < len(g.lacing) && !whole {
			whole = g.lacing[used] < oggSegment
			n += int(g.lacing[used])
			used++
		}
		piece := g.page[:n]
		g.page, g.lacing = g.page[n:], g.lacing[used:]
		if len(g.packet)+n > maxOpusPacket {
			return nil, boundsError("Opus packet of more than %d bytes", maxOpusPacket)
		}
		if !whole {
			g.packet = append(g.packet, piece...)
			continue
		}
		b := append(g.packet[:len(g.packet):len(g.packet)], piece...)
		broken := g.broken
		g.packet, g.broken = nil, false
		if !broken {
			return b, nil
		}
	}
}

func (g *ogg) loadPage(ctx context.Context) error {
	if g.ended {
		return io.EOF
	}
	p, err := g.pageOf(ctx)
	if err != nil {
		return err
	}
	if cap(g.page) < int(p.end-p.body) {
		g.page = make([]byte, p.end-p.body)
	}
	g.page = g.page[:p.end-p.body]
	if err := readFull(g.r, g.page, p.body); err != nil {
		return fmt.Errorf("inject: Ogg page: %w", err)
	}
	g.lacing = p.lacing
	g.ended = p.flags&oggEnd != 0
	if continued := p.flags&oggContinued != 0; !continued {
		g.packet = nil
	} else if g.packet == nil {
		g.broken = true
	}
	return nil
}

func (g *ogg) seek(at time.Duration) (time.Duration, error) {
	g.place(at)
	g.sought()
	return duration(g.from-g.origin, opusRate), nil
}

// place goes to the page before that time; what is between is read and left.
func (g *ogg) place(at time.Duration) {
	want := g.origin + ticksOf(min(at, g.length), opusRate)
	i := max(sort.Search(len(g.index), func(i int) bool { return g.index[i].samples > want })-1, 0)
	g.ahead, g.samples = g.index[i].off, g.index[i].samples
	g.page, g.lacing, g.packet, g.broken, g.ended, g.pending = nil, nil, nil, false, false, nil
	g.from = min(want, g.last-1)
}

func (g *ogg) nextKey(time.Duration) (time.Duration, bool) { return 0, false }
