package aac

import (
	"errors"
	"fmt"
	"slices"
)

// ErrFrame tells that a frame is damaged.
var ErrFrame = errors.New("aac: damaged frame")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFrame, fmt.Sprintf(format, args...))
}

// A decoder decodes raw_data_blocks of AAC-LC:
//
//	frame -> side information -> quantized lines -> lines -> M/S, intensity
//	      -> TNS -> inverse MDCT, window, overlap -> pcm
//
// A frame is parsed as a whole before any of it is heard, so that a damaged
// one changes nothing that the next one needs.
type decoder struct {
	bands  *bandTable
	books  *codeBook
	tables *requantTables
	slopes *slopes

	long, short *mdct
	block       [2 * frameSize]float32
	channels    []decoderChannel
	stereo      stereoInfo
	random      uint32 // state of the noise generator
	lost        int    // frames concealed in a row
}

// A decoderChannel is what a decoder holds of each channel.
type decoderChannel struct {
	info  channelInfo
	quant [frameSize]int16
	// lines of the frame, and of the last good one, which concealment repeats.
	lines, good [frameSize]float32
	sequence    windowSequence // of the last good frame
	shape       windowShape    // of the last half of the last window
	overlap     [frameSize]float32
	out         [frameSize]float32
}

func newDecoder(channels int) *decoder {
	return &decoder{
		books: codeBooks(), tables: sharedRequantTables(), slopes: windowSlopes(),
		long: newMDCT(frameSize), short: newMDCT(shortSize), channels: make([]decoderChannel, channels),
	}
}

// reset makes a decoder, new or used, ready for a stream.
func (d *decoder) reset(c Config) {
	d.bands = &bandTables[rateIndex(c.SampleRate)]
	d.random, d.lost = 1, 0
	for i := range d.channels {
		c := &d.channels[i]
		clear(c.good[:])
		clear(c.overlap[:])
		c.sequence, c.shape = onlyLong, sineShape
	}
}

// decode appends the samples of a frame to pcm.
func (d *decoder) decode(pcm []float32, data []byte) ([]float32, error) {
	if err := d.parse(data); err != nil {
		return pcm, err
	}
	for i := range d.channels {
		c := &d.channels[i]
		c.shapeNoise(d.bands) // TNS
		if !d.synthesize(c, c.lines[:], c.info.sequence, c.info.shape) {
			return pcm, damaged("samples out of range")
		}
	}
	for i := range d.channels {
		c := &d.channels[i]
		c.good, c.sequence = c.lines, c.info.sequence
	}
	d.lost = 0
	return d.append(pcm), nil
}

// append appends the samples of all channels to pcm.
func (d *decoder) append(pcm []float32) []float32 {
	if len(d.channels) == 1 {
		return append(pcm, d.channels[0].out[:]...)
	}
	left, right := &d.channels[0].out, &d.channels[1].out
	pcm = slices.Grow(pcm, 2*frameSize)
	both := pcm[len(pcm):][:2*frameSize]
	for i := range left {
		both[2*i], both[2*i+1] = left[i], right[i]
	}
	return pcm[:len(pcm)+2*frameSize]
}

// parse reads a raw_data_block (4.4.2.1) into the lines of all channels.
func (d *decoder) parse(data []byte) error {
	r := bitReader{data: data}
	channels := 0 // that were read
	for !r.overrun() {
		switch element := r.read(3); element {
		case elementSCE:
			if channels+1 > len(d.channels) {
				return damaged("more than %d channel(s)", len(d.channels))
			}
			if err := d.readSingle(&r, &d.channels[channels]); err != nil {
				return err
			}
			channels++
		case elementCPE:
			if channels+2 > len(d.channels) {
				return damaged("more than %d channel(s)", len(d.channels))
			}
			if err := d.readPair(&r); err != nil {
				return err
			}
			channels += 2
		case elementDSE:
			skipData(&r)
		case elementPCE:
			readProgramme(&r)
		case elementFIL:
			skipFill(&r)
		case elementEND:
			return d.complete(&r, channels)
		default:
			return &UnsupportedError{"coupling and low frequency channels"}
		}
	}
	return damaged("%d bytes are too short", len(data))
}

// complete checks the end of a frame. A stereo stream may send mono.
func (d *decoder) complete(r *bitReader, channels int) error {
	switch {
	case r.overrun():
		return damaged("%d bytes are too short", len(r.data))
	case channels == 0:
		return damaged("no channel in it")
	case channels < len(d.channels):
		d.channels[1].lines, d.channels[1].info = d.channels[0].lines, d.channels[0].info
	}
	return nil
}

// skipData passes over a data_stream_element (4.4.2.1).
func skipData(r *bitReader) {
	r.skip(4) // element_instance_tag
	align := r.readBool()
	n := r.read(8)
	if n == 255 {
		n += r.read(8)
	}
	if align {
		r.align()
	}
	r.skip(8 * n)
}

// skipFill passes over a fill_element: padding, or the upper half of the band
// of HE-AAC.
func skipFill(r *bitReader) {
	n := r.read(4)
	if n == 15 {
		n += r.read(8) - 1
	}
	r.skip(8 * n)
}

// readSingle reads a single_channel_element.
func (d *decoder) readSingle(r *bitReader, c *decoderChannel) error {
	r.skip(4) // element_instance_tag
	d.stereo.mask = 0
	if err := d.readChannel(r, c, false); err != nil {
		return err
	}
	d.requantize(c, nil)
	return nil
}

// readPair reads a channel_pair_element.
func (d *decoder) readPair(r *bitReader) error {
	r.skip(4)
	left, right := &d.channels[0], &d.channels[1]
	common := r.readBool()
	d.stereo.mask = 0
	if common {
		if err := left.info.read(r, d.bands); err != nil {
			return err
		}
		right.info = left.info
		if err := d.stereo.read(r, &left.info); err != nil {
			return err
		}
	}
	if err := d.readChannel(r, left, common); err != nil {
		return err
	}
	if err := d.readChannel(r, right, common); err != nil {
		return err
	}
	if left.info.usesIntensity() || !common && right.info.usesIntensity() {
		return damaged("intensity stereo without a pair")
	}
	d.requantize(left, nil)
	d.requantize(right, left)
	d.joinStereo(left, right)
	return nil
}
