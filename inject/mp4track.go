package inject

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// mp4Track is a track of an MP4 file (ISO 14496-12, section 8.3).
type mp4Track struct {
	id      uint32
	enabled bool
	scale   uint32       // ticks a second
	video   *videoTrack  // nil if it is sound
	audio   *media.Track // nil if it is video
	table   *sampleTable
	edit    edit
	shift   time.Duration // of all tracks, so that none begins before 0
	lead    time.Duration // DTS of the first sample
}

// time is where ticks of the track are on the timeline of the file.
func (t *mp4Track) time(ticks int64) time.Duration {
	return t.shift + t.edit.delay + duration(ticks-t.edit.trim, t.scale)
}

// ticks is the other way.
func (t *mp4Track) ticks(at time.Duration) int64 {
	return t.edit.trim + ticksOf(at-t.shift-t.edit.delay, t.scale)
}

// edit is what an edit list (section 8.6.6) asks for, as far as it is
// supported: a pause, then one piece of the track.
type edit struct {
	delay  time.Duration // before the track
	trim   int64         // ticks to leave away at its start
	length time.Duration // of the piece, 0 for all
}

// current returns the track as it is now.
func (t *mp4Track) current() *media.Track {
	if t.video != nil {
		return t.video.track
	}
	return t.audio
}

// newMP4Track reads a trak box. A nil track without an error is one that is
// neither sound nor picture.
func newMP4Track(trak []byte, movieScale uint32) (*mp4Track, error) {
	mdia := child(trak, "mdia")
	handler := child(mdia, "hdlr")
	if len(handler) < 12 {
		return nil, nil
	}
	kind := string(handler[8:12])
	if kind != "vide" && kind != "soun" {
		return nil, nil
	}
	t := &mp4Track{}
	if err := t.header(child(trak, "tkhd"), child(mdia, "mdhd")); err != nil {
		return nil, err
	}
	stbl := child(mdia, "minf", "stbl")
	if err := t.description(kind, child(stbl, "stsd")); err != nil {
		return nil, err
	}
	var err error
	if t.table, err = newSampleTable(stbl); err != nil {
		return nil, err
	}
	if seconds := t.table.ticks() / int64(t.scale); seconds > int64(maxDuration/time.Second) {
		return nil, boundsError("track of %d s", seconds)
	}
	if t.edit, err = newEdit(child(trak, "edts", "elst"), movieScale); err != nil {
		return nil, err
	}
	if t.edit.trim/int64(t.scale) > int64(maxDuration/time.Second) {
		return nil, boundsError("edit at %d ticks", t.edit.trim)
	}
	return t, nil
}

func (t *mp4Track) header(tkhd, mdhd []byte) error {
	id, scale := 12, 12 // where they stand in version 0, after times of 32 bits
	if len(tkhd) > 0 && tkhd[0] == 1 {
		id += 8
	}
	if len(mdhd) > 0 && mdhd[0] == 1 {
		scale += 8
	}
	if len(tkhd) < id+4 || len(mdhd) < scale+4 {
		return boundsError("track header")
	}
	t.id, t.enabled = u32(tkhd, id), tkhd[3]&1 != 0
	if t.scale = u32(mdhd, scale); t.scale == 0 {
		return boundsError("track with a clock of 0 Hz")
	}
	return nil
}

// movieScale reads the clock rate of mvhd, in which edits are timed.
func movieScale(mvhd []byte) (uint32, error) {
	at := 12
	if len(mvhd) > 0 && mvhd[0] == 1 {
		at += 8
	}
	if len(mvhd) < at+4 || u32(mvhd, at) == 0 {
		return 0, boundsError("movie header")
	}
	return u32(mvhd, at), nil
}

func newEdit(elst []byte, scale uint32) (e edit, err error) {
	if len(elst) == 0 {
		return e, nil
	}
	width, half := 12, 4
	if elst[0] == 1 {
		width, half = 20, 8
	}
	entries, err := table(elst, 0, width)
	if err != nil {
		return e, err
	}
	pieces := 0
	for ; len(entries) > 0; entries = entries[width:] {
		length, start := signed(entries[:half]), signed(entries[half:2*half])
		if half == 4 {
			length &= 0xffffffff // has no sign
		}
		if length < 0 || length/int64(scale) > int64(maxDuration/time.Second) || start > 1<<60 {
			return e, boundsError("edit of %d at %d", length, start)
		}
		switch {
		case start >= 0:
			if pieces++; pieces > 1 {
				return e, formError("MP4 track edited into several pieces")
			}
			e.trim, e.length = start, duration(length, scale)
		case pieces == 0:
			e.delay += duration(length, scale)
		}
		if e.delay > maxDuration {
			return e, boundsError("edit that delays by %v", e.delay)
		}
	}
	return e, nil
}

func signed(b []byte) int64 {
	if len(b) == 4 {
		return int64(int32(binary.BigEndian.Uint32(b)))
	}
	return int64(binary.BigEndian.Uint64(b))
}

// Bytes of a sample entry before its boxes (sections 8.5.2, 12.1.3, 12.2.3).
const (
	visualEntry = 78
	audioEntry  = 28
)

// description reads the first sample entry of stsd.
func (t *mp4Track) description(kind string, stsd []byte) error {
	const fixed = 8
	if len(stsd) < fixed {
		return boundsError("track without sample description")
	}
	code, entry, more := nextBox(stsd[fixed:])
	if code == "" {
		return boundsError("sample description cut short")
	}
	if next, _, _ := nextBox(more); next != "" {
		return formError("MP4 track with several sample descriptions")
	}
	if kind == "vide" {
		return t.visual(code, entry)
	}
	return t.sound(code, entry)
}

func (t *mp4Track) visual(code string, entry []byte) (err error) {
	if len(entry) < visualEntry {
		return boundsError("sample entry %q of %d bytes", code, len(entry))
	}
	boxes := entry[visualEntry:]
	switch code {
	case "avc1", "avc3":
		t.video, err = newVideoTrack(media.H264, child(boxes, "avcC"))
	case "hvc1", "hev1":
		t.video, err = newVideoTrack(media.H265, child(boxes, "hvcC"))
	default:
		return unsupportedEntry(code, boxes)
	}
	return err
}

func (t *mp4Track) sound(code string, entry []byte) (err error) {
	if len(entry) < audioEntry {
		return boundsError("sample entry %q of %d bytes", code, len(entry))
	}
	// QuickTime has more fields in versions 1 and 2, and the boxes inside one.
	skip := audioEntry
	switch binary.BigEndian.Uint16(entry[8:]) {
	case 1:
		skip += 16
	case 2:
		skip += 36
	}
	boxes := entry[min(skip, len(entry)):]
	switch code {
	case "mp4a":
		esds := child(boxes, "esds")
		if esds == nil {
			esds = child(boxes, "wave", "esds")
		}
		t.audio, err = esdsTrack(esds)
	case "Opus":
		const dOpsLength = 11
		d := child(boxes, "dOps")
		if len(d) < dOpsLength {
			return boundsError("dOps box of %d bytes", len(d))
		}
		t.audio, err = opusTrack(d[1], d[10])
	default:
		return unsupportedEntry(code, boxes)
	}
	return err
}

func unsupportedEntry(code string, boxes []byte) error {
	if code == "encv" || code == "enca" {
		inside := "unknown"
		if frma := child(boxes, "sinf", "frma"); len(frma) >= 4 {
			inside = printable(frma[:4])
		}
		return &ErrUnsupportedCodec{Codec: code, Reason: "encrypted, " + inside + " inside"}
	}
	return &ErrUnsupportedCodec{Codec: printable([]byte(code))}
}

// printable keeps what of a name may be shown.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, string(b))
}
