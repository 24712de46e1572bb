package aac

import (
	"fmt"
	"slices"
)

// adtsHeader is the size of an ADTS header without CRC (ISO 14496-3, 1.A.3.2).
const adtsHeader = 7

// AppendADTS appends a frame with an ADTS header to dst, for files and players
// that take AAC without a container.
func (c Config) AppendADTS(dst, frame []byte) ([]byte, error) {
	index := slices.Index(samplingRates[:], c.SampleRate)
	length := adtsHeader + len(frame)
	switch {
	case index < 0:
		return dst, &UnsupportedError{fmt.Sprintf("sampling rate %d in ADTS", c.SampleRate)}
	case length >= 1<<13:
		return dst, fmt.Errorf("aac: frame of %d bytes: ADTS holds %d at most", len(frame), 1<<13-1-adtsHeader)
	}
	const variable = 0x7ff // adts_buffer_fullness of a variable rate
	return append(append(dst,
		0xff, 0xf1, // syncword, MPEG-4, layer 0, no CRC
		(objectLC-1)<<6|byte(index)<<2|byte(c.Channels>>2),
		byte(c.Channels<<6)|byte(length>>11), byte(length>>3),
		byte(length<<5)|variable>>6, variable<<2&0xff,
	), frame...), nil
}
