package aac

import (
	"math"
	"sync"
)

// windowSequence is the kind of a frame's windows (4.4.2.7, window_sequence).
type windowSequence uint8

const (
	onlyLong windowSequence = iota
	longStart
	eightShort
	longStop
)

// windowShape is the form of a window's slopes (4.6.11.3.2).
type windowShape uint8

const (
	sineShape windowShape = iota
	kaiserShape
)

// slopes are the rising halves of the windows. A slope falls as it rises,
// backwards.
type slopes struct {
	long  [2][]float32 // by windowShape
	short [2][]float32
	edge  [2][]float32 // a short slope in the middle of a long window's half
}

var windowSlopes = sync.OnceValue(func() *slopes {
	s := &slopes{
		long:  [2][]float32{sineSlope(frameSize), kaiserSlope(frameSize, 4)},
		short: [2][]float32{sineSlope(shortSize), kaiserSlope(shortSize, 6)},
	}
	for shape, short := range s.short {
		edge := make([]float32, frameSize)
		for i := slopeStart + copy(edge[slopeStart:], short); i < frameSize; i++ {
			edge[i] = 1
		}
		s.edge[shape] = edge
	}
	return s
})

func sineSlope(n int) []float32 {
	slope := make([]float32, n)
	for i := range slope {
		slope[i] = float32(math.Sin(math.Pi / float64(2*n) * (float64(i) + .5)))
	}
	return slope
}

// kaiserSlope is derived from the Kaiser-Bessel window with the parameter
// alpha: 4 for long windows, 6 for short ones.
func kaiserSlope(n int, alpha float64) []float32 {
	kernel := make([]float64, n+1)
	total := 0.0
	for i := range kernel {
		x := 2*float64(i)/float64(n) - 1
		kernel[i] = besselI0(math.Pi * alpha * math.Sqrt(1-x*x))
		total += kernel[i]
	}
	slope := make([]float32, n)
	sum := 0.0
	for i := range slope {
		sum += kernel[i]
		slope[i] = float32(math.Sqrt(sum / total))
	}
	return slope
}

// besselI0 is the modified Bessel function of the first kind and order zero.
func besselI0(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > sum*1e-15; k++ {
		term *= x / 2 / k
		sum += term * term
	}
	return sum
}
