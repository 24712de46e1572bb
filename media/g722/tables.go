package g722

import "math"

// Tables of ITU-T G.722 section 6.2.1. Filled once and only read.
var (
	// decisions lie between the magnitudes of the low band, for a step of
	// 1 << 12 (Q6).
	decisions = [29]int{35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023,
		1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919}
	// magnitudes of the low band, for a step of 1 << 15.
	magnitudes = [30]int{136, 432, 728, 1040, 1360, 1688, 2032, 2400, 2776, 3168, 3576, 4008, 4464, 4944, 5456, 6000,
		6576, 7192, 7856, 8576, 9360, 10232, 11192, 12280, 13512, 14984, 16704, 19008, 21904, 24808}
	// lowLevels are the magnitudes with their signs by the code of 6 bits
	// (QM6).
	lowLevels = signedLevels()

	// coarse magnitudes are what the predictor sees, whichever of the lower
	// two bits are stolen (QM4), and lowAdapt what they do to the logarithm of
	// the step (WL).
	coarse   = [8]int{0, 1200, 2584, 4240, 6288, 8968, 12896, 20456}
	lowAdapt = [8]int{-60, -30, 58, 172, 334, 538, 1198, 3042}

	// highLevels and highAdapt are the same for the 2 bits of the high band
	// (QM2, WH).
	highLevels = [4]int{-7408, -1616, 7408, 1616}
	highAdapt  = [4]int{798, -214, 798, -214}

	// powers are 2048 * 2^(i/32) (ILB).
	powers = exponential()
)

// lowCode is the code of the magnitude of index i and its sign.
func lowCode(i int, negative bool) int {
	switch {
	case !negative:
		return 61 - i
	case i < 2:
		return 63 - i
	default:
		return 33 - i
	}
}

func signedLevels() (all [64]int) {
	for i := range 4 {
		all[i] = -magnitudes[0] // codes that no encoder sends
	}
	for i, m := range magnitudes {
		all[lowCode(i, false)], all[lowCode(i, true)] = m, -m
	}
	return all
}

func exponential() (all [32]int) {
	for i := range all {
		all[i] = int(math.Round(2048 * math.Exp2(float64(i)/32)))
	}
	return all
}
