package record

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Rotation tells when a recording goes on in a new file: at the first key
// frame (without video: the first frame) after one of its limits. The zero
// value never rotates.
type Rotation struct {
	// Duration of a file. 0: any length; otherwise at least a second.
	Duration time.Duration
	// Size of a file in bytes. 0: any size; otherwise at least 64 KiB.
	Size int64
}

const (
	minRotation     = time.Second
	minRotationSize = 64 << 10
	maxRotation     = 366 * 24 * time.Hour
)

// ParseRotation reads "20M" (also K and G: powers of 1024), a number of
// seconds, a Go duration of hours or seconds such as "1h" or "90s", or two of
// them with a comma between. "0" and the empty text are the zero value.
// "20m" is refused: it would be 20 minutes to some and 20 MB to others.
func ParseRotation(text string) (Rotation, error) {
	var r Rotation
	for i, item := range strings.Split(text, ",") {
		item = strings.TrimSpace(item)
		if item == "" && text == "" || item == "0" {
			continue
		}
		one, err := parseLimit(item)
		if err != nil {
			return Rotation{}, fmt.Errorf("%w %q: %w", ErrRotation, text, err)
		}
		if i > 1 || one.Duration > 0 && r.Duration > 0 || one.Size > 0 && r.Size > 0 {
			return Rotation{}, fmt.Errorf("%w %q: one duration and one size at most", ErrRotation, text)
		}
		r.Duration += one.Duration
		r.Size += one.Size
	}
	if err := r.check(); err != nil {
		return Rotation{}, err
	}
	return r, nil
}

func (r Rotation) check() error {
	switch {
	case r.Duration != 0 && (r.Duration < minRotation || r.Duration > maxRotation):
		return fmt.Errorf("%w: duration %v is not between %v and %v", ErrRotation, r.Duration, minRotation, maxRotation)
	case r.Size != 0 && r.Size < minRotationSize:
		return fmt.Errorf("%w: size %d is below %d bytes", ErrRotation, r.Size, minRotationSize)
	}
	return nil
}

// String returns what ParseRotation reads.
func (r Rotation) String() string {
	var list []string
	if r.Size > 0 {
		list = append(list, formatSize(r.Size))
	}
	if r.Duration > 0 {
		list = append(list, r.Duration.String())
	}
	if list == nil {
		return "0"
	}
	return strings.Join(list, ",")
}

func parseLimit(text string) (Rotation, error) {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return Rotation{Duration: time.Duration(seconds) * time.Second}, nil
	}
	if size, err := ParseSize(text); err == nil {
		return Rotation{Size: size}, nil
	}
	if n, ok := strings.CutSuffix(text, "m"); ok {
		return Rotation{}, fmt.Errorf("write %sM for the size, or the seconds for minutes", n)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return Rotation{}, fmt.Errorf("%q is neither seconds nor a size such as 20M", text)
	}
	return Rotation{Duration: d}, nil
}

// ParseSize reads a number of bytes with K, M, G or T after it (powers of
// 1024), for example "20M".
func ParseSize(text string) (int64, error) {
	number := strings.TrimRight(text, "KMGT")
	shift := 0
	if suffix := text[len(number):]; len(suffix) == 1 {
		shift = 10 * (strings.Index("KMGT", suffix) + 1)
	} else {
		return 0, fmt.Errorf("%w: size %q needs one of K, M, G, T", ErrRotation, text)
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%w: size %q", ErrRotation, text)
	}
	return int64(n) << shift, nil
}

// formatSize is the inverse of ParseSize for whole KiB, and a larger one else.
func formatSize(n int64) string {
	n = (n + 1<<10 - 1) >> 10
	for _, unit := range "KMGT" {
		if n%1024 != 0 || n == 0 || unit == 'T' {
			return strconv.FormatInt(n, 10) + string(unit)
		}
		n /= 1024
	}
	return ""
}
