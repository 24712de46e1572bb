//go:build race

package rtpio

// raceDetector tells that pools of memory forget some of it on purpose.
const raceDetector = true
