package sipnet

import (
	"sync"
	"time"
)

// A bucket limits how often something is done: rate times a second, burst at
// once.
type bucket struct {
	rate, burst float64
	mu          sync.Mutex
	level       float64
	at          time.Time
}

// init sets rate and burst before the first take.
func (b *bucket) init(rate, burst float64) { b.rate, b.burst, b.level = rate, burst, burst }

func (b *bucket) take() bool {
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
