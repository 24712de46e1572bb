package media

import (
	"fmt"

	"github.com/trunkcast/trunkcast/internal/resample"
)

// formatError tells what in the audio that a codec gives or takes is not
// supported.
type formatError struct {
	what  string
	value int
}

func (e *formatError) Error() string {
	return fmt.Sprintf("media: audio with %d %s is not supported", e.value, e.what)
}

// input decodes audio and brings it to the rate and the channels of an
// encoder. What makes it faster or slower is a variable resampler, or, at high
// rates, the cheaper slewer on that side of the resampler.
//
//	decode -> mix to fewer -> slew -> resample -> slew -> mix to more
type input struct {
	dec       AudioDecoder // nil: none for this track
	decRate   int          // Hz
	decCh     int
	outCh     int
	res       *resample.Resampler
	slew      slewer
	slewFirst bool // in front of the resampler
	slewLast  bool // behind it
	delay     int  // of all, in samples at the output
	skip      int  // samples at the output that are still to be left away
	pcm       []float32
	mixed     []float32
	slewed    []float32
	raw       []float32
	silence   []float32
}

// open makes a decoder for t. After an error there is none.
func (p *input) open(codec AudioCodec, t *Track, rate, ch int) error {
	p.close()
	dec, err := codec.NewDecoder(t)
	if err != nil {
		return err
	}
	if err := checkFormat(dec.SampleRate(), dec.Channels()); err != nil {
		dec.Close()
		return err
	}
	if err := p.format(dec.SampleRate(), dec.Channels(), rate, ch); err != nil {
		dec.Close()
		return err
	}
	p.dec = dec
	return nil
}

// mute prepares for silence only.
func (p *input) mute(rate, ch int) {
	if p.res == nil {
		_ = p.format(rate, ch, rate, ch) // the encoder's, which was checked
	}
}

// format prepares the way from the decoder's format to the encoder's.
func (p *input) format(fromRate, fromCh, toRate, toCh int) error {
	via := min(fromCh, toCh) // channels of the resampler
	if p.res == nil || p.res.From() != fromRate || p.res.To() != toRate || p.res.Channels() != via {
		if err := p.resampler(fromRate, toRate, via); err != nil {
			return err
		}
	}
	p.decRate, p.decCh, p.outCh = fromRate, fromCh, toCh
	p.silence = make([]float32, 960*fromCh)
	p.reset()
	return nil
}

func (p *input) resampler(from, to, channels int) (err error) {
	p.slew = slewer{channels: channels}
	p.slewFirst = from > to && from >= slewRate
	p.slewLast = from <= to && to >= slewRate
	build := resample.NewVariable
	if p.slewFirst || p.slewLast {
		build = resample.New
	}
	res, err := build(from, to, channels)
	if err != nil {
		return err
	}
	p.res, p.delay = res, res.Delay()
	switch {
	case p.slewFirst:
		p.delay += (slewDelay*to + from/2) / from
	case p.slewLast:
		p.delay += slewDelay
	}
	return nil
}

// reset begins anew. The first samples out of the resampler show what was
// before the first ones in.
func (p *input) reset() {
	if p.res != nil {
		p.res.Reset()
		p.slew.reset()
		p.skip = p.delay
		p.drift(0)
	}
}

// close gives the decoder back. The resampler stays for silence.
func (p *input) close() {
	if p.dec != nil {
		p.dec.Close()
		p.dec = nil
	}
}

// pending is how many samples of the output are still in the resampler.
func (p *input) pending() int { return p.delay - p.skip }

// drift makes the output longer (1), shorter (-1) or as long as it is (0), by
// 1000 ppm.
func (p *input) drift(direction int) {
	switch {
	case p.res == nil:
	case p.slewFirst || p.slewLast:
		p.slew.set(direction)
	default:
		p.res.SetDrift(float64(direction) * slewPPM)
	}
}

// convert appends pcm to dst in the format of the encoder.
func (p *input) convert(dst, pcm []float32) []float32 {
	via := p.res.Channels()
	if p.decCh != via {
		p.mixed = resample.Mix(p.mixed[:0], pcm, p.decCh, via)
		pcm = p.mixed
	}
	if p.slewFirst {
		p.slewed = p.slew.append(p.slewed[:0], pcm)
		pcm = p.slewed
	}
	p.raw = p.res.Append(p.raw[:0], pcm)
	out := p.raw
	if p.slewLast {
		p.slewed = p.slew.append(p.slewed[:0], out)
		out = p.slewed
	}
	n := min(p.skip, len(out)/via)
	p.skip -= n
	return resample.Mix(dst, out[n*via:], via, p.outCh)
}

// rest appends what is pending, and resets.
func (p *input) rest(dst, silence []float32) []float32 {
	want := len(dst) + p.pending()*p.outCh
	for len(dst) < want {
		dst = p.convert(dst, silence)
	}
	p.reset()
	return dst[:want]
}
