package aac

import (
	"sort"

	"github.com/trunkcast/trunkcast/media"
)

func newEncoder(channels int) *encoder {
	return &encoder{slopes: windowSlopes(), channels: make([]encoderChannel, channels)}
}

// reset makes an encoder, new or used, ready for a stream.
func (e *encoder) reset(k Codec, c Config, o media.EncoderOptions) {
	index := rateIndex(c.SampleRate)
	e.config = c
	e.bands, e.ear = &bandTables[index], earModelOf(index)
	e.ahead = lookAhead
	if k.LowDelay {
		e.ahead = 0
	}
	e.noise = !k.PlainNoise
	e.layout.sequence, e.attack = onlyLong, -1
	for i := range e.channels {
		e.channels[i].transient = newTransient(c.SampleRate)
		clear(e.channels[i].history[:])
		clear(e.channels[i].peaks[:])
	}
	bitRate := chooseBitRate(o.BitRate, c)
	e.rate = newRateControl(k.Rate, bitRate, c.SampleRate, c.Channels)
	e.cutOff(chooseCutOff(bitRate/c.Channels, o.Bandwidth, c.SampleRate))
}

// chooseBitRate returns the rate in bit/s for all channels.
func chooseBitRate(wish int, c Config) int {
	most := maxFrameBits * c.SampleRate / frameSize
	if wish == 0 {
		wish = c.Channels * min(defaultBitRate, c.SampleRate*2)
	}
	return min(max(wish, minBitRate*c.Channels), most*c.Channels)
}

// The band that a bit rate is enough for: bits a second of a channel, Hz.
// Between them it is interpolated.
var cutOffs = []struct{ bitRate, hz int }{
	{8000, 3500}, {16000, 5500}, {24000, 8500}, {32000, 11000}, {48000, 14500}, {56000, 16000}, {64000, 16000}, {96000, 18000}, {128000, 20000}, {192000, 22000},
}

// chooseCutOff returns the highest frequency in Hz that is coded. A source's
// band ends softly, so that a little more is coded.
func chooseCutOff(bitRate, source, sampleRate int) int {
	i := sort.Search(len(cutOffs), func(i int) bool { return cutOffs[i].bitRate >= bitRate })
	hz := cutOffs[min(i, len(cutOffs)-1)].hz
	if i > 0 && i < len(cutOffs) {
		a, b := cutOffs[i-1], cutOffs[i]
		hz = a.hz + (b.hz-a.hz)*(bitRate-a.bitRate)/(b.bitRate-a.bitRate)
	}
	if source > 0 {
		hz = min(hz, source+source/16)
	}
	return min(hz, sampleRate/2)
}

// cutOff sets the lines and bands that are coded.
func (e *encoder) cutOff(hz int) {
	rate := e.config.SampleRate
	e.longLines = max(1, hz*2*frameSize/rate)
	e.shortLines = max(1, hz*2*shortSize/rate)
	e.longLines, e.shortLines = min(e.longLines, frameSize), min(e.shortLines, shortSize)
	e.longBands = sort.SearchInts(e.bands.long, e.longLines)
	e.shortBands = sort.SearchInts(e.bands.short, e.shortLines)
}
