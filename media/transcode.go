package media

import (
	"bytes"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/trunkcast/trunkcast/internal/resample"
)

const (
	// concealMax is how much lost audio a codec makes up before silence.
	concealMax = 160 * time.Millisecond
	// silenceLag is how far audio may be behind the video before it counts as
	// absent. Where it turns out to be late only, more is allowed, up to
	// maxLag.
	silenceLag = 500 * time.Millisecond
	maxLag     = 2 * time.Second
	// maxFill is the longest gap that is filled; the clock jumps over others.
	maxFill = 10 * time.Second
	// maxOff is how far audio may be from its time until it is put right at
	// once; before that it is steered, by some ppm.
	maxOff = 40 * time.Millisecond
	// steerOn is how far it must be, on average, to be steered, until it is
	// within steerOff.
	steerOn  = 3 * time.Millisecond
	steerOff = 500 * time.Microsecond
	// usualFrame is the length of a frame as long as none was decoded.
	usualFrame = 20 * time.Millisecond
)

// transcoder turns audio frames of any codec into those of one encoder. It
// belongs to one goroutine.
//
//	frame -> align -> decode -> mix, resample -> fifo -> encode -> emit
//	           |                      ^
//	           +--> conceal, silence -+
//
// Two clocks meet here. The clock of the output counts samples: a frame's PTS
// is base plus the samples before it. The clock of the input is the PTS of its
// frames. They are compared at each frame: a jump is a gap to be filled or an
// overlap to be cut, a small difference is steered away by resampling a little
// faster or slower.
type transcoder struct {
	codecs []AudioCodec
	enc    AudioEncoder
	out    *Track
	rate   int // Hz
	ch     int // channels of the output
	size   int // samples per channel of a frame
	emit   func(f *Frame, end time.Duration)
	log    *slog.Logger
	stats  RenditionStats

	in *Track // that dec was made for, or could not be
	input

	running bool
	first   time.Duration // where the output began
	base    time.Duration
	made    int64 // samples per channel since base that went into fifo
	coded   int64 // and from there to the encoder
	fifo    []float32
	packet  []byte

	shift     time.Duration // added to the input's times
	inEnd     time.Duration // of the last input frame
	last      int           // its samples per channel at the decoder's rate
	filled    bool          // the last samples were made up
	conceals  time.Duration // what may still be concealed
	off       float64       // average distance in ns
	lag       time.Duration
	sawVideo  bool
	videoFrom time.Duration
}

func newTranscoder(codecs []AudioCodec, key renditionKey, emit func(*Frame, time.Duration)) (*transcoder, error) {
	codec := findCodec(codecs, key.codec)
	if codec == nil {
		return nil, &ErrNoEncoder{To: key.codec}
	}
	enc, err := codec.NewEncoder(&Track{Codec: key.codec}, key.options)
	if err != nil {
		return nil, err
	}
	t := &transcoder{codecs: codecs, enc: enc, out: enc.Track(), size: enc.FrameSize(), emit: emit, lag: silenceLag}
	t.rate, t.ch = t.out.ClockRate, max(t.out.Channels, 1)
	t.log = slog.New(slog.DiscardHandler)
	if err := checkFormat(t.rate, t.ch); err != nil {
		enc.Close()
		return nil, err
	}
	if t.size <= 0 || t.size > t.rate {
		enc.Close()
		return nil, &formatError{"samples a frame", t.size}
	}
	return t, nil
}

func (t *transcoder) close() {
	t.input.close()
	t.enc.Close()
}

// span is the time of n samples at rate Hz.
func span(n int64, rate int) time.Duration {
	r := int64(rate)
	return time.Duration(n/r)*time.Second + time.Duration(n%r)*time.Second/time.Duration(r)
}

// samples is how many samples at rate Hz fit d best.
func samples(d time.Duration, rate int) int64 {
	r := time.Duration(rate)
	return int64(d/time.Second*r + (d%time.Second*r+time.Second/2)/time.Second)
}

// end is the time at which the next input sample is expected.
func (t *transcoder) end() time.Duration {
	return t.base + span(t.made+int64(t.pending()), t.rate)
}

func (t *transcoder) start(at time.Duration) {
	t.running, t.first, t.base = true, at, at
}

// frame takes an audio frame.
func (t *transcoder) frame(f *Frame) {
	if f.Track != t.in {
		t.use(f.Track)
	}
	if t.dec == nil {
		t.stats.DecodeErrors++
		return // and video, if there is any, goes on with silence
	}
	if len(f.Data) == 0 {
		return
	}
	data := f.Data[0]
	at := f.PTS + t.shift
	cut := t.align(&at, data)
	pcm, err := t.dec.Decode(t.pcm[:0], data)
	if err != nil || len(pcm)/t.decCh > t.decRate { // a second in a frame is none
		t.decodeFailed(err)
		pcm = t.concealed(t.lastOr(usualFrame), nil)
	} else {
		t.pcm = pcm
		t.conceals = concealMax
		if n := len(pcm) / t.decCh; n > 0 {
			t.last = n
		}
	}
	n := len(pcm) / t.decCh
	t.inEnd = at + span(int64(n), t.decRate)
	skip := min(int(samples(cut, t.decRate)), n)
	t.stats.Cut += span(int64(skip), t.decRate)
	t.filled = n > 0 && skip == n
	t.feed(pcm[skip*t.decCh:])
}

func (t *transcoder) decodeFailed(err error) {
	if t.stats.DecodeErrors++; t.stats.DecodeErrors == 1 {
		t.log.Warn("audio frame cannot be decoded, concealed", "codec", string(t.in.Codec), "error", err)
	}
}

// lastOr is the number of samples in the last frame, or in d.
func (t *transcoder) lastOr(d time.Duration) int {
	if t.last > 0 {
		return t.last
	}
	return int(samples(d, t.decRate))
}

// use makes a decoder for a new input track. What comes of it goes on where
// the old one ended.
func (t *transcoder) use(track *Track) {
	if t.in != nil && sameFormat(t.in, track) {
		t.in = track
		return
	}
	t.drain()
	t.in = track
	t.last, t.conceals = 0, 0
	codec := findCodec(t.codecs, track.Codec)
	if codec == nil {
		t.input.close()
		t.log.Error("audio cannot be transcoded", "error", &ErrNoEncoder{From: track.Codec, To: t.out.Codec})
		return
	}
	if err := t.input.open(codec, track, t.rate, t.ch); err != nil {
		t.log.Error("audio cannot be decoded", "codec", string(track.Codec), "error", err)
	}
}

// sameFormat tells whether a decoder made for a can go on with b.
func sameFormat(a, b *Track) bool {
	return a.Codec == b.Codec && a.ClockRate == b.ClockRate && a.Channels == b.Channels &&
		slices.EqualFunc(a.Config, b.Config, bytes.Equal)
}

// align prepares for a frame at a time: it fills what is missing before it,
// and returns how much of it is to be cut because its time has passed.
func (t *transcoder) align(at *time.Duration, data []byte) (cut time.Duration) {
	if !t.running {
		t.start(*at)
		t.inEnd = *at
	}
	off := *at - t.end()
	if off < -maxLag {
		// The writer broke its promise that time does not go back. Sound out
		// of step is better than none.
		t.shift -= off
		*at -= off
		off, t.inEnd = 0, *at
	}
	gap := *at - t.inEnd
	edge := span(int64(t.lastOr(usualFrame)), t.decRate) * 3 / 4
	broken := t.filled || gap > edge || gap < -edge || off > maxOff || off < -maxOff
	switch {
	case !broken:
		t.steer(off)
		return 0
	case off > maxFill:
		t.jump(*at)
	case off > 0:
		t.fill(off, data)
	case t.filled && off < 0:
		t.lag = min(t.lag-off+silenceLag/4, maxLag)
	}
	t.off = 0
	t.drift(0)
	return max(-off, 0)
}

// steer follows a small distance between the clocks. It corrects at the full
// rate, 1 ms in a second, or not at all: half the work is saved in between,
// and nobody hears a change of the pitch by less than two cents.
func (t *transcoder) steer(off time.Duration) {
	t.off += (float64(off) - t.off) / 16
	switch far := math.Abs(t.off); {
	case far > float64(steerOn) && t.off > 0:
		t.drift(1)
	case far > float64(steerOn):
		t.drift(-1)
	case far < float64(steerOff):
		t.drift(0)
	}
}

// fill makes up audio for d before the frame next. A codec conceals a short
// loss, the last frame of it with the help of next; what is longer is silence
// after a fade.
func (t *transcoder) fill(d time.Duration, next []byte) {
	n, last := int(samples(d, t.decRate)), t.lastOr(usualFrame)
	// Lost frames are whole ones; the rest is the distance of the clocks.
	if whole := (n + last/2) / last * last; whole > 0 && max(n-whole, whole-n) <= last/4 {
		n = whole
	}
	if span(int64(n), t.decRate) > t.conceals {
		t.quiet(n)
		return
	}
	if n >= last {
		t.feed(t.concealed(n-last, nil))
		t.feed(t.concealed(last, next))
	} else {
		t.feed(t.concealed(n, nil))
	}
}

// quiet adds n samples at the decoder's rate: concealed as long as that may
// be, then silent.
func (t *transcoder) quiet(n int) {
	if c := min(int(samples(t.conceals, t.decRate)), n); c > 0 {
		t.feed(t.concealed(c, nil))
		n -= c
	}
	t.stats.Silence += span(int64(n), t.decRate)
	for n > 0 {
		k := min(n, cap(t.silence)/t.decCh)
		t.feed(t.silence[:k*t.decCh])
		n -= k
	}
}

// concealed returns n samples in place of lost ones.
func (t *transcoder) concealed(n int, next []byte) []float32 {
	if n <= 0 {
		return nil
	}
	d := span(int64(n), t.decRate)
	t.conceals -= d
	t.stats.Concealed += d
	pcm := t.dec.Conceal(t.pcm[:0], n, next)
	for len(pcm) < n*t.decCh {
		pcm = append(pcm, 0)
	}
	t.pcm = pcm
	return pcm[:n*t.decCh]
}

// video tells how far the video is. Where audio is absent it is filled up to
// a lag behind. It returns whether it was.
func (t *transcoder) video(dts time.Duration) bool {
	if !t.running {
		if !t.sawVideo {
			t.sawVideo, t.videoFrom = true, dts
		}
		if dts-t.videoFrom <= t.lag {
			return false
		}
		t.start(t.videoFrom)
	}
	if t.dec == nil {
		t.input.mute(t.rate, t.ch)
	}
	d := dts - t.lag - t.end()
	last := t.lastOr(usualFrame)
	n := int(samples(min(d, maxFill+time.Second), t.decRate)) / last * last
	if n <= 0 {
		return false
	}
	if d > maxFill {
		t.jump(dts - t.lag)
	} else {
		t.quiet(n)
	}
	t.filled = true
	return true
}

// jump sets the clock of the output forward, across a gap that is not filled.
func (t *transcoder) jump(to time.Duration) {
	t.drain()
	t.complete(0)
	t.input.reset()
	t.base, t.made, t.coded = to, 0, 0
}

// feed converts samples at the decoder's rate and encodes them.
func (t *transcoder) feed(pcm []float32) {
	before := len(t.fifo)
	t.fifo = t.convert(t.fifo, pcm)
	t.made += int64((len(t.fifo) - before) / t.ch)
	t.encode()
}

// drain takes out of the resampler what it still holds.
func (t *transcoder) drain() {
	if n := t.pending(); n > 0 {
		before := len(t.fifo)
		t.fifo = t.rest(t.fifo, t.silence)
		t.made += int64((len(t.fifo) - before) / t.ch)
		t.encode()
	}
}

// complete adds extra samples of silence and as many as the last frame needs.
func (t *transcoder) complete(extra int) {
	n := len(t.fifo)/t.ch + extra
	if over := n % t.size; over > 0 {
		n += t.size - over
	}
	before := len(t.fifo)
	for len(t.fifo) < n*t.ch {
		t.fifo = append(t.fifo, 0)
	}
	t.made += int64((len(t.fifo) - before) / t.ch)
	t.encode()
}

// flush brings out everything that went in.
func (t *transcoder) flush() {
	if t.running {
		t.drain()
		t.complete(max(t.enc.Delay(), 0))
	}
}

// encode makes all frames that are whole.
func (t *transcoder) encode() {
	n := t.size * t.ch
	used := 0
	for ; len(t.fifo)-used >= n; used += n {
		at := t.base + span(t.coded, t.rate) - span(int64(t.enc.Delay()), t.rate)
		t.coded += int64(t.size)
		data, err := t.enc.Encode(t.packet[:0], t.fifo[used:used+n])
		if err != nil {
			if t.stats.EncodeErrors++; t.stats.EncodeErrors == 1 {
				t.log.Warn("audio frame cannot be encoded, left out", "codec", string(t.out.Codec), "error", err)
			}
			continue
		}
		t.packet = data
		end := at + span(int64(t.size), t.rate)
		// What is before the beginning is the silence that the encoder began
		// with.
		if len(data) == 0 || at < 0 || end <= t.first {
			continue
		}
		t.stats.Frames++
		t.emit(newAudioFrame(t.out, at, data), end)
	}
	t.fifo = t.fifo[:copy(t.fifo, t.fifo[used:])]
}

// newAudioFrame copies data into a frame.
func newAudioFrame(t *Track, at time.Duration, data []byte) *Frame {
	f := &struct {
		Frame
		data [1][]byte
	}{Frame: Frame{Track: t, PTS: at, DTS: at}}
	f.data[0] = append(make([]byte, 0, len(data)), data...)
	f.Frame.Data = f.data[:]
	return &f.Frame
}

// checkFormat tells whether audio can be resampled.
func checkFormat(rate, channels int) error {
	if rate < resample.MinRate || rate > resample.MaxRate {
		return &formatError{"Hz", rate}
	}
	if channels != 1 && channels != 2 {
		return &formatError{"channels", channels}
	}
	return nil
}
