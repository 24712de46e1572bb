package aac

import "fmt"

// Audio object types (ISO 14496-3, 1.5.1.1).
const (
	objectLC  = 2
	objectSBR = 5  // HE-AAC
	objectPS  = 29 // HE-AAC version 2
)

// A Config is an AudioSpecificConfig (ISO 14496-3, 1.6.2.1) of AAC-LC, or of
// HE-AAC, of which this package decodes the lower half of the band.
type Config struct {
	// SampleRate of the LC core in Hz. That of HE-AAC is twice as high.
	SampleRate int
	// Channels is 1 or 2.
	Channels int
}

// An UnsupportedError tells what in a stream is valid, but beyond this
// package.
type UnsupportedError struct {
	Feature string
}

func (e *UnsupportedError) Error() string { return "aac: not supported: " + e.Feature }

// ParseConfig reads an AudioSpecificConfig. Extensions at its end are ignored.
func ParseConfig(data []byte) (Config, error) {
	r := bitReader{data: data}
	object := readObjectType(&r)
	c := Config{SampleRate: readRate(&r)}
	channels := r.read(4) // channelConfiguration
	if object == objectSBR || object == objectPS {
		readRate(&r) // of the extension
		object = readObjectType(&r)
	}
	if object != objectLC {
		return Config{}, unsupportedUnless(!r.overrun(), "audio object type %d (only 2, AAC-LC)", object)
	}
	short := r.readBool() // frameLengthFlag, GASpecificConfig
	if r.readBool() {     // dependsOnCoreCoder
		r.skip(14)
	}
	r.skip(1) // extensionFlag, 0 for LC
	if channels == 0 {
		channels = readProgramme(&r)
	}
	switch {
	case r.overrun():
		return Config{}, fmt.Errorf("%w: AudioSpecificConfig of %d bytes is too short", ErrFrame, len(data))
	case short:
		return Config{}, &UnsupportedError{"frames of 960 samples"}
	}
	c.Channels = channels
	if err := c.check(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// check returns an error if the decoder cannot play it.
func (c Config) check() error {
	if c.SampleRate < 7350 || c.SampleRate > 96000 {
		return &UnsupportedError{fmt.Sprintf("sampling rate %d Hz (only 7350 to 96000)", c.SampleRate)}
	}
	if c.Channels != 1 && c.Channels != 2 {
		return &UnsupportedError{fmt.Sprintf("channel configuration %d (only mono and stereo)", c.Channels)}
	}
	return nil
}

// unsupportedUnless returns an UnsupportedError, or ErrFrame if the data ended
// before the feature was read.
func unsupportedUnless(whole bool, format string, args ...any) error {
	if !whole {
		return fmt.Errorf("%w: AudioSpecificConfig is too short", ErrFrame)
	}
	return &UnsupportedError{fmt.Sprintf(format, args...)}
}

func readObjectType(r *bitReader) int {
	object := r.read(5)
	if object == 31 {
		object = 32 + r.read(6)
	}
	return object
}

// readRate reads samplingFrequencyIndex, and the rate itself if it is not in
// the table. An index that is reserved gives 0.
func readRate(r *bitReader) int {
	index := r.read(4)
	switch {
	case index == 15:
		return r.read(24)
	case index < len(samplingRates):
		return samplingRates[index]
	default:
		return 0
	}
}

// readProgramme reads a program_config_element (4.4.1.1) and returns the
// number of its channels.
func readProgramme(r *bitReader) int {
	r.skip(4 + 2 + 4) // element_instance_tag, object_type, sampling_frequency_index
	var n [3]int      // front, side and back elements
	for i := range n {
		n[i] = r.read(4)
	}
	lfe, data, coupling := r.read(2), r.read(3), r.read(4)
	for range 2 { // mono and stereo mixdown
		if r.readBool() {
			r.skip(4)
		}
	}
	if r.readBool() { // matrix mixdown
		r.skip(3)
	}
	channels := lfe
	for range n[0] + n[1] + n[2] {
		channels++
		if r.readBool() { // a pair
			channels++
		}
		r.skip(4)
	}
	r.skip(4*lfe + 4*data + 5*coupling)
	r.align()
	r.skip(8 * r.read(8)) // comment
	return channels
}

// Marshal returns the AudioSpecificConfig.
func (c Config) Marshal() []byte {
	var w bitWriter
	w.put(objectLC, 5)
	index := rateIndex(c.SampleRate)
	if samplingRates[index] == c.SampleRate {
		w.put(uint32(index), 4)
	} else {
		w.put(15, 4)
		w.put(uint32(c.SampleRate), 24)
	}
	w.put(uint32(c.Channels), 4)
	w.put(0, 3) // GASpecificConfig: 1024 samples, no core coder, no extension
	return w.finish()
}
