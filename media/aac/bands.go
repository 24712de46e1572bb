package aac

// samplingRates is indexed by samplingFrequencyIndex (ISO 14496-3, 1.6.3.4).
var samplingRates = [...]int{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}

// rateIndex returns the samplingFrequencyIndex whose tables a rate uses: each
// has a range of rates around it (4.5.1.1).
func rateIndex(rate int) int {
	for i, least := range [...]int{92017, 75132, 55426, 46009, 37566, 27713, 23004, 18783, 13856, 11502, 9391} {
		if rate >= least {
			return i
		}
	}
	return 11
}

const (
	frameSize    = 1024 // samples of a frame, and lines of a long window
	shortSize    = 128  // lines of a short window, of which a frame has 8
	shortWindows = 8
	maxLongBands = 51
	maxBands     = 8 * 15 // eight groups of the most short bands
)

// A bandTable divides the spectrum into scalefactor bands (4.5.4). The slices
// hold the first line of each band, and the number of lines at the end.
type bandTable struct {
	long, short []int
	// The first band above the reach of temporal noise shaping in the LC
	// profile (4.6.9.4, TNS_MAX_BANDS).
	tnsLong, tnsShort int
}

// of returns the bands of a kind of window.
func (t *bandTable) of(seq windowSequence) []int {
	if seq == eightShort {
		return t.short
	}
	return t.long
}

// tns returns the first band that temporal noise shaping does not reach.
func (t *bandTable) tns(seq windowSequence) int {
	if seq == eightShort {
		return t.tnsShort
	}
	return t.tnsLong
}

// bandTables is indexed by samplingFrequencyIndex.
var bandTables = [...]bandTable{
	{long96, short96, 31, 9},  // 96000
	{long96, short96, 31, 9},  // 88200
	{long64, short96, 34, 10}, // 64000
	{long48, short48, 40, 14}, // 48000
	{long48, short48, 42, 14}, // 44100
	{long32, short48, 51, 14}, // 32000
	{long24, short24, 46, 14}, // 24000
	{long24, short24, 46, 14}, // 22050
	{long16, short16, 42, 14}, // 16000
	{long16, short16, 42, 14}, // 12000
	{long16, short16, 42, 14}, // 11025
	{long8, short8, 39, 14},   // 8000
	{long8, short8, 39, 14},   // 7350
}

var (
	long96 = []int{0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 64, 72, 80, 88, 96, 108, 120, 132, 144, 156,
		172, 188, 212, 240, 276, 320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960, 1024}
	long64 = []int{0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 64, 72, 80, 88, 100, 112, 124, 140, 156, 172,
		192, 216, 240, 268, 304, 344, 384, 424, 464, 504, 544, 584, 624, 664, 704, 744, 784, 824, 864, 904, 944, 984, 1024}
	long48 = []int{0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 48, 56, 64, 72, 80, 88, 96, 108, 120, 132, 144, 160, 176, 196,
		216, 240, 264, 292, 320, 352, 384, 416, 448, 480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800, 832, 864, 896,
		928, 1024}
	long32 = []int{0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 48, 56, 64, 72, 80, 88, 96, 108, 120, 132, 144, 160, 176, 196,
		216, 240, 264, 292, 320, 352, 384, 416, 448, 480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800, 832, 864, 896,
		928, 960, 992, 1024}
	long24 = []int{0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 52, 60, 68, 76, 84, 92, 100, 108, 116, 124, 136, 148, 160,
		172, 188, 204, 220, 240, 260, 284, 308, 336, 364, 396, 432, 468, 508, 552, 600, 652, 704, 768, 832, 896, 960, 1024}
	long16 = []int{0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 100, 112, 124, 136, 148, 160, 172, 184, 196, 212, 228, 244,
		260, 280, 300, 320, 344, 368, 396, 424, 456, 492, 532, 572, 616, 664, 716, 772, 832, 896, 960, 1024}
	long8 = []int{0, 12, 24, 36, 48, 60, 72, 84, 96, 108, 120, 132, 144, 156, 172, 188, 204, 220, 236, 252, 268, 288, 308,
		328, 348, 372, 396, 420, 448, 476, 508, 544, 580, 620, 664, 712, 764, 820, 880, 944, 1024}

	short96 = []int{0, 4, 8, 12, 16, 20, 24, 32, 40, 48, 64, 92, 128}
	short48 = []int{0, 4, 8, 12, 16, 20, 28, 36, 44, 56, 68, 80, 96, 112, 128}
	short24 = []int{0, 4, 8, 12, 16, 20, 24, 28, 36, 44, 52, 64, 76, 92, 108, 128}
	short16 = []int{0, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 60, 72, 88, 108, 128}
	short8  = []int{0, 4, 8, 12, 16, 20, 24, 28, 36, 44, 52, 60, 72, 88, 108, 128}
)
