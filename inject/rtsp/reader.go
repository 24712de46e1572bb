package rtsp

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph264"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph265"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtplpcm"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtpmpeg4audio"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtpsimpleaudio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/pion/rtp"

	"github.com/trunkcast/trunkcast/media"
)

// reader makes frames of the packets of one track. It is not safe for
// concurrent use.
type reader interface {
	track() *media.Track
	read(p *rtp.Packet, pts time.Duration) ([]*media.Frame, error)
}

// newReader returns a reader, or why there is none.
func newReader(f format.Format) (reader, error) {
	switch f := f.(type) {
	case *format.H264:
		d, err := f.CreateDecoder()
		return &video{codec: media.H264, h264: d, t: videoTrack(media.H264, f.SPS, f.PPS), order: &h264.DTSExtractor{}}, err
	case *format.H265:
		d, err := f.CreateDecoder()
		return &video{codec: media.H265, h265: d, t: videoTrack(media.H265, f.VPS, f.SPS, f.PPS), order: &h265.DTSExtractor{}}, err
	case *format.MPEG4Audio:
		t, err := aacTrack(f.Config)
		if err != nil {
			return nil, err
		}
		d, err := f.CreateDecoder()
		return &aac{t: t, d: d}, err
	case *format.Opus:
		d, err := f.CreateDecoder()
		return &opus{t: &media.Track{Codec: media.Opus, ClockRate: 48000, Channels: min(max(f.ChannelCount, 1), 2)}, d: d}, err
	case *format.G711:
		d, err := f.CreateDecoder()
		t := &media.Track{Codec: media.PCMA, ClockRate: f.SampleRate, Channels: f.ChannelCount}
		if f.MULaw {
			t.Codec = media.PCMU
		}
		if err == nil && (t.ClockRate != 8000 || t.Channels != 1) {
			err = fmt.Errorf("G.711 with %d Hz and %d channels", t.ClockRate, t.Channels)
		}
		return &g711{t: t, d: d}, err
	}
	return nil, errors.New("codec not carried")
}

// video makes frames of access units.
type video struct {
	codec media.Codec
	h264  *rtph264.Decoder
	h265  *rtph265.Decoder
	t     *media.Track
	begun bool // a key frame has come
	order interface {
		Extract(au [][]byte, pts int64) (int64, error)
	}
}

func (v *video) track() *media.Track { return v.t }

func (v *video) read(p *rtp.Packet, pts time.Duration) ([]*media.Frame, error) {
	var unit [][]byte
	var err error
	if v.codec == media.H264 {
		unit, err = v.h264.Decode(p)
	} else {
		unit, err = v.h265.Decode(p)
	}
	if err != nil {
		if errors.Is(err, rtph264.ErrMorePacketsNeeded) || errors.Is(err, rtph264.ErrNonStartingPacketAndNoPrevious) ||
			errors.Is(err, rtph265.ErrMorePacketsNeeded) || errors.Is(err, rtph265.ErrNonStartingPacketAndNoPrevious) {
			err = nil
		}
		return nil, err
	}
	return v.frame(unit, pts)
}

func (v *video) frame(unit [][]byte, pts time.Duration) ([]*media.Frame, error) {
	key := v.key(unit)
	v.begun = v.begun || key
	if !v.begun {
		return nil, nil
	}
	if key { // the extractor reads the size of the reordering from the SPS
		unit = v.withSets(unit)
	}
	// The extractor counts in ticks of 90 kHz.
	dts, err := v.order.Extract(unit, int64(pts)*9/100_000)
	if err != nil {
		v.begun = false
		return nil, err
	}
	data := v.split(unit)
	if len(data) == 0 {
		return nil, nil
	}
	f := &media.Frame{Track: v.t, PTS: pts, DTS: min(time.Duration(dts)*100_000/9, pts), Key: key, Data: data}
	return []*media.Frame{f}, nil
}

func (v *video) key(unit [][]byte) bool {
	if v.codec == media.H264 {
		return h264.IsRandomAccess(unit)
	}
	return h265.IsRandomAccess(unit)
}

// withSets puts the parameter sets that are known before a unit without.
func (v *video) withSets(unit [][]byte) [][]byte {
	if slices.ContainsFunc(unit, func(n []byte) bool { return v.set(n) > 0 }) {
		return unit
	}
	return append(slices.Clone(v.t.Config), unit...)
}

// set is the rank of a parameter set: VPS, SPS, PPS; 0 for what is none, and
// -1 for what is not carried.
func (v *video) set(n []byte) int {
	if len(n) == 0 {
		return -1
	}
	if v.codec == media.H264 {
		switch h264.NALUType(n[0] & 0x1f) {
		case h264.NALUTypeSPS:
			return 2
		case h264.NALUTypePPS:
			return 3
		case h264.NALUTypeAccessUnitDelimiter:
			return -1
		}
		return 0
	}
	switch h265.NALUType(n[0] >> 1 & 0x3f) {
	case h265.NALUType_VPS_NUT:
		return 1
	case h265.NALUType_SPS_NUT:
		return 2
	case h265.NALUType_PPS_NUT:
		return 3
	case h265.NALUType_AUD_NUT:
		return -1
	}
	return 0
}

// split returns the NAL units of the picture. New parameter sets make another
// track.
func (v *video) split(unit [][]byte) (data [][]byte) {
	var sets [][]byte
	for _, n := range unit {
		switch rank := v.set(n); {
		case rank > 0:
			sets = append(sets, bytes.Clone(n))
		case rank == 0:
			data = append(data, n)
		}
	}
	known := func(n []byte) bool {
		return slices.ContainsFunc(v.t.Config, func(c []byte) bool { return bytes.Equal(c, n) })
	}
	if slices.ContainsFunc(sets, func(n []byte) bool { return !known(n) }) {
		for _, old := range v.t.Config { // kinds that did not come stay
			if !slices.ContainsFunc(sets, func(n []byte) bool { return v.set(n) == v.set(old) }) {
				sets = append(sets, old)
			}
		}
		slices.SortStableFunc(sets, func(a, b []byte) int { return v.set(a) - v.set(b) })
		v.t = videoTrack(v.codec, sets...)
	}
	return data
}

func videoTrack(codec media.Codec, sets ...[]byte) *media.Track {
	t := &media.Track{Codec: codec, ClockRate: media.VideoClockRate}
	for _, n := range sets {
		if len(n) == 0 {
			continue
		}
		t.Config = append(t.Config, n)
		var s4 h264.SPS
		var s5 h265.SPS
		switch {
		case codec == media.H264 && n[0]&0x1f == byte(h264.NALUTypeSPS) && s4.Unmarshal(n) == nil:
			t.Width, t.Height = s4.Width(), s4.Height()
		case codec == media.H265 && n[0]>>1&0x3f == byte(h265.NALUType_SPS_NUT) && s5.Unmarshal(n) == nil:
			t.Width, t.Height = s5.Width(), s5.Height()
		}
	}
	return t
}

// aac makes frames of AAC (RFC 3640).
type aac struct {
	t *media.Track
	d *rtpmpeg4audio.Decoder
}

func aacTrack(c *mpeg4audio.AudioSpecificConfig) (*media.Track, error) {
	if c == nil || c.Type != mpeg4audio.ObjectTypeAACLC || c.ChannelConfig < 1 || c.ChannelConfig > 2 {
		return nil, errors.New("only AAC-LC of one or two channels is carried")
	}
	b, err := c.Marshal()
	return &media.Track{Codec: media.AAC, ClockRate: c.SampleRate, Channels: int(c.ChannelConfig), Config: [][]byte{b}}, err
}

func (a *aac) track() *media.Track { return a.t }

func (a *aac) read(p *rtp.Packet, pts time.Duration) (frames []*media.Frame, err error) {
	units, err := a.d.Decode(p)
	if errors.Is(err, rtpmpeg4audio.ErrMorePacketsNeeded) {
		return nil, nil
	}
	step := mpeg4audio.SamplesPerAccessUnit * time.Second / time.Duration(a.t.ClockRate)
	for i, u := range units {
		if len(u) == 0 {
			continue
		}
		frames = append(frames, soundFrame(a.t, pts+time.Duration(i)*step, u))
	}
	return frames, err
}

type opus struct {
	t *media.Track
	d *rtpsimpleaudio.Decoder
}

func (o *opus) track() *media.Track { return o.t }

func (o *opus) read(p *rtp.Packet, pts time.Duration) ([]*media.Frame, error) {
	b, err := o.d.Decode(p)
	if err != nil || len(b) == 0 {
		return nil, err
	}
	return []*media.Frame{soundFrame(o.t, pts, b)}, nil
}

// g711 takes the samples as they are: one byte each.
type g711 struct {
	t *media.Track
	d *rtplpcm.Decoder
}

func (g *g711) track() *media.Track { return g.t }

func (g *g711) read(p *rtp.Packet, pts time.Duration) ([]*media.Frame, error) {
	b, err := g.d.Decode(p)
	if err != nil || len(b) == 0 {
		return nil, err
	}
	return []*media.Frame{soundFrame(g.t, pts, b)}, nil
}

func soundFrame(t *media.Track, pts time.Duration, b []byte) *media.Frame {
	return &media.Frame{Track: t, PTS: pts, DTS: pts, Data: [][]byte{b}}
}
