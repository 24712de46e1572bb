package sipnet

import (
	"sync"
	"time"
)

// A Bucket limits how often something is done: rate times a second, burst at
// once.
type Bucket struct {
	rate, burst float64
	mu          sync.Mutex
	level       float64
	at          time.Time
}

// Init sets rate and burst before the first Take.
func (b *Bucket) Init(rate, burst float64) { b.rate, b.burst, b.level = rate, burst, burst }

// Take reports whether it may be done now, and counts it if so.
func (b *Bucket) Take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if !b.at.IsZero() {
		b.level = min(b.burst, b.level+b.rate*now.Sub(b.at).Seconds())
	}
	b.at = now
	if b.level < 1 {
		return false
	}
	b.level--
	return true
}
