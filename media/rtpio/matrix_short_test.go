//go:build !long

package rtpio

// matrixStep is the distance between the weathers that the short run takes: a
// prime, so that the sample has all of what varies fastest.
const matrixStep = 131
