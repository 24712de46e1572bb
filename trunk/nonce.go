package trunk

import (
	"strconv"
	"sync"
	"time"
)

// nonces are the nonces with which callers have proved who they are, and the
// last count of each (RFC 7616 section 3.4): one that does not rise was heard on
// the way and is said again. Only who knows a password makes an entry, and each
// stays for two lives of a nonce at most.
type nonces struct {
	mu       sync.Mutex
	now, old map[string]uint64
	turned   time.Time // when old was now
}

// maxNonces bounds the entries of one life: beyond, everybody is challenged
// anew.
const maxNonces = 100_000

// use reports whether a nonce is good for this count, and notes it. Without
// counts it is good once.
func (n *nonces) use(nonce, count string, counted bool) bool {
	at := uint64(1<<32 - 1)
	if counted {
		var err error
		if at, err = strconv.ParseUint(count, 16, 32); err != nil {
			return false
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if time.Since(n.turned) > nonceLife {
		n.old, n.now, n.turned = n.now, map[string]uint64{}, time.Now()
	}
	if at <= max(n.now[nonce], n.old[nonce]) || len(n.now) >= maxNonces {
		return false
	}
	n.now[nonce] = at
	return true
}
