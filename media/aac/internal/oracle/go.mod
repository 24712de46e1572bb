// A program around another encoder to compare with, in a module of its own:
// whoever imports trunkcast does not get that encoder.
module github.com/trunkcast/trunkcast/media/aac/internal/oracle

go 1.26.0

require github.com/tphakala/go-aac v0.4.0

require (
	github.com/tphakala/simd v1.5.0 // indirect
	golang.org/x/sys v0.45.0 // indirect
)
