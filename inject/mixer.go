package inject

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

const (
	// mixRate is that of the samples that are added, in Hz; mixFrame how many
	// make a frame, 20 ms.
	mixRate  = 48000
	mixFrame = mixRate / 50
	// mixWait is how much longer than the first of its inputs a Mixer waits for
	// the others, in samples: 80 ms, which transcoding may take.
	mixWait = mixRate * 80 / 1000
	// mixJump is the distance of times from which on they are taken for a new
	// beginning, in samples.
	mixJump = mixRate * 3 / 10
	// mixKnee is the amplitude from which on a sum is bent, so that two loud
	// sounds are not cut off at full scale.
	mixKnee = 0.8
)

// mixPCM is what a Mixer decodes to: L16 of one rate, in one channel. It has a
// name of its own so that L16 of other forms is converted.
const mixPCM media.Codec = "L16/48000/1"

type mixCodec struct{}

func (mixCodec) Codec() media.Codec { return mixPCM }

func (mixCodec) NewDecoder(*media.Track) (media.AudioDecoder, error) {
	return l16Decoder{rate: mixRate, channels: 1}, nil
}

func (mixCodec) NewEncoder(*media.Track, media.EncoderOptions) (media.AudioEncoder, error) {
	return &l16Encoder{track: mixTrack}, nil
}

var mixTrack = &media.Track{Codec: mixPCM, ClockRate: mixRate, Channels: 1}

// Mixer adds the sounds of several writers, in whatever codecs, to one sound in
// the codec of its sink, in one channel. The times of all are on the same
// timeline. It has no clock of its own: 20 ms of the sum leave as soon as all
// inputs have brought theirs, or when the first of them is 80 ms ahead of the
// others, which are then silent.
//
//	input: frames -> PCM --+
//	                       +--> sum -> codec -> Sink
//	input: frames -> PCM --+
type Mixer struct {
	// Sink gets the sum. It is not closed.
	Sink media.Sink
	// Audio are the codecs that the sink takes, the first one being the one to
	// encode to.
	Audio []media.Codec
	// Codecs decode the inputs and encode the sum. L16 needs none.
	Codecs []media.AudioCodec
	// Encoder is about encoding the sum.
	Encoder media.EncoderOptions

	mu     sync.Mutex
	closed bool
	err    error // of the output
	inputs []*MixerInput
	sum    []float32 // from start on
	start  int64     // in samples of the timeline
	end    int64     // of the input that is furthest
	begun  bool
	out    soundStream
}

// MixerInput is one of the writers of a [Mixer]. Its methods may be called from
// any goroutine.
type MixerInput struct {
	mixer *Mixer

	mu     sync.Mutex // held before that of the mixer
	closed bool
	in     soundStream

	// Under the mixer's mutex.
	next  int64 // where its next sample is expected
	begun bool
}

// Input adds a writer. ErrNoEncoder tells that nothing encodes the sum.
func (m *Mixer) Input() (*MixerInput, error) {
	codecs := withCodecs(m.Codecs, L16Codec{}, mixCodec{})
	if len(m.Audio) == 0 {
		return nil, &media.ErrNoEncoder{From: mixPCM}
	}
	if !hasCodec(codecs, m.Audio[0]) {
		return nil, &media.ErrNoEncoder{From: mixPCM, To: m.Audio[0]}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, media.ErrClosed
	}
	in := &MixerInput{mixer: m}
	in.in = soundStream{name: "mixer input", codecs: codecs, audio: []media.Codec{mixPCM}, sink: media.SinkFunc(in.add)}
	if len(m.inputs) == 0 && !m.begun {
		m.out = soundStream{name: "mixer", codecs: codecs, audio: m.Audio, encoder: m.Encoder, sink: m.Sink}
	}
	m.inputs = append(m.inputs, in)
	return in, nil
}

// Close ends the mixer after what it holds. Its inputs take nothing more.
func (m *Mixer) Close() error {
	m.mu.Lock()
	inputs := m.inputs
	m.inputs = nil
	m.mu.Unlock()
	for _, in := range inputs {
		in.end()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	m.finish()
	m.out.leave(true)
	return nil
}

// WriteFrame adds a frame of sound. The error is that of the mixer's sink, or
// an ErrNoEncoder if the sound cannot be decoded.
func (in *MixerInput) WriteFrame(ctx context.Context, f *media.Frame) error {
	if !f.Track.Codec.Audio() {
		return fmt.Errorf("inject: a mixer takes no %s", f.Track.Codec)
	}
	if !hasCodec(in.in.codecs, f.Track.Codec) {
		return &media.ErrNoEncoder{From: f.Track.Codec, To: in.mixer.Audio[0]}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return media.ErrClosed
	}
	if err := in.mixer.failed(); err != nil {
		return err
	}
	return in.in.write(ctx, f)
}

func (m *Mixer) failed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// end gives on what the writer has written, and takes nothing more.
func (in *MixerInput) end() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	in.in.leave(true)
}

// Close takes the writer out, after what it has written.
func (in *MixerInput) Close() error {
	in.end()
	m := in.mixer
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inputs = slices.DeleteFunc(slices.Clone(m.inputs), func(other *MixerInput) bool { return other == in })
	return nil
}

// add takes the decoded sound of an input.
func (in *MixerInput) add(_ context.Context, f *media.Frame) error {
	m := in.mixer
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.err != nil {
		return nil // WriteFrame tells
	}
	at := int64(f.PTS) / int64(time.Millisecond) * (mixRate / 1000)
	at += int64(f.PTS) % int64(time.Millisecond) * (mixRate / 1000) / int64(time.Millisecond)
	if d := at - in.next; in.begun && d >= -mixRate/1000 && d <= mixRate/1000 {
		at = in.next // rounded elsewhere
	}
	n := int64(len(f.Data[0]) / 2)
	in.next, in.begun = at+n, true
	m.place(at, n)
	for i := max(m.start-at, 0); i < n; i++ {
		s := int16(uint16(f.Data[0][2*i])<<8 | uint16(f.Data[0][2*i+1]))
		m.sum[at+i-m.start] += float32(s) / 32768
	}
	m.advance()
	return nil
}

// place makes room for n samples at a time. After a pause of all inputs the sum
// begins anew.
func (m *Mixer) place(at, n int64) {
	if m.begun && at > m.end+mixJump {
		m.finish()
		m.begun = false // less than 20 ms are left
	}
	if !m.begun {
		m.begun, m.start, m.end = true, at, at
		m.sum = m.sum[:0]
	}
	m.end = max(m.end, at+n)
	for int64(len(m.sum)) < m.end-m.start {
		m.sum = append(m.sum, 0)
	}
}

// advance gives on what is complete.
func (m *Mixer) advance() {
	all := m.end
	for _, in := range m.inputs {
		if in.begun {
			all = min(all, in.next)
		} else {
			all = min(all, m.start)
		}
	}
	for upTo := max(all, m.end-mixWait); m.start+mixFrame <= upTo && m.err == nil; {
		m.emit()
	}
}

// finish gives on what is left, to the last 20 ms that are whole.
func (m *Mixer) finish() {
	for m.begun && m.start+mixFrame <= m.end && m.err == nil {
		m.emit()
	}
}

// emit gives 20 ms to the output.
func (m *Mixer) emit() {
	b := make([]byte, 0, 2*mixFrame) // kept by the stream behind
	for _, v := range m.sum[:mixFrame] {
		s := uint16(int16(bend(v) * 32767))
		b = append(b, byte(s>>8), byte(s))
	}
	at := time.Duration(m.start/mixRate)*time.Second + time.Duration(m.start%mixRate)*time.Second/mixRate
	m.start += mixFrame
	m.sum = m.sum[:copy(m.sum, m.sum[mixFrame:])]
	f := &media.Frame{Track: mixTrack, PTS: at, DTS: at, Data: [][]byte{b}}
	m.err = m.out.write(context.Background(), f)
}

// bend keeps a sum within full scale, without a sharp edge.
func bend(v float32) float32 {
	a := math.Abs(float64(v))
	if a <= mixKnee {
		return v
	}
	const rest = 1 - mixKnee
	return float32(math.Copysign(mixKnee+rest*math.Tanh((a-mixKnee)/rest), float64(v)))
}
