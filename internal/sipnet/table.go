package sipnet

import (
	"net/netip"
	"sync"
)

// table holds the open transactions.
type table struct {
	mu      sync.Mutex
	servers map[string]*ServerTx
	merges  map[string]*ServerTx // by what stays the same when a proxy forks a request to us twice
	clients map[string]*ClientTx
	peers   map[netip.Addr]int // open client transactions of each address
}

func (t *table) init() {
	t.servers = map[string]*ServerTx{}
	t.merges = map[string]*ServerTx{}
	t.clients = map[string]*ClientTx{}
	t.peers = map[netip.Addr]int{}
}

func (t *table) server(key string) *ServerTx {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.servers[key]
}

// admitted is what table.add makes of a new server transaction.
type admitted int

const (
	added  admitted = iota
	known           // there is one with its key
	merged          // the same request came another way: RFC 3261 section 8.2.2.2
	full
)

// add enters tx, unless there are limit already.
func (t *table) add(tx *ServerTx, limit int) admitted {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.servers[tx.key] != nil {
		return known
	}
	if len(t.servers) >= limit {
		return full
	}
	t.servers[tx.key] = tx
	if tx.mergeKey == "" {
		return added
	}
	if t.merges[tx.mergeKey] != nil {
		return merged
	}
	t.merges[tx.mergeKey] = tx
	return added
}

func (t *table) removeServer(tx *ServerTx) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.servers[tx.key] == tx {
		delete(t.servers, tx.key)
	}
	t.unmergeLocked(tx)
}

// unmerge forgets that tx is under way, for a copy that comes another way.
func (t *table) unmerge(tx *ServerTx) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unmergeLocked(tx)
}

func (t *table) unmergeLocked(tx *ServerTx) {
	if t.merges[tx.mergeKey] == tx {
		delete(t.merges, tx.mergeKey)
	}
}

func (t *table) client(key string) *ClientTx {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.clients[key]
}

// addClient enters tx; false if its branch is in use.
func (t *table) addClient(tx *ClientTx) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.clients[tx.key] != nil {
		return false
	}
	t.clients[tx.key] = tx
	t.peers[tx.flow.remote.Addr()]++
	return true
}

func (t *table) removeClient(tx *ClientTx) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.clients[tx.key] != tx {
		return
	}
	delete(t.clients, tx.key)
	peer := tx.flow.remote.Addr()
	if t.peers[peer]--; t.peers[peer] <= 0 {
		delete(t.peers, peer)
	}
}

// asked reports whether a request of ours to addr is open.
func (t *table) asked(addr netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.peers[addr] > 0
}

func (t *table) sizes() (servers, clients int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.servers), len(t.clients)
}

// end ends every transaction with err.
func (t *table) end(err error) {
	t.mu.Lock()
	var servers []*ServerTx
	for _, tx := range t.servers {
		servers = append(servers, tx)
	}
	clients := t.clientsLocked(func(*ClientTx) bool { return true })
	t.mu.Unlock()
	for _, tx := range servers {
		tx.end(err)
	}
	for _, tx := range clients {
		tx.end(err)
	}
}

// lost ends the client transactions that wait for a response on s.
func (t *table) lost(s *stream, err error) {
	t.mu.Lock()
	clients := t.clientsLocked(func(tx *ClientTx) bool { return tx.flow.stream == s })
	t.mu.Unlock()
	for _, tx := range clients {
		tx.connectionLost(err)
	}
}

func (t *table) clientsLocked(want func(*ClientTx) bool) []*ClientTx {
	var list []*ClientTx
	for _, tx := range t.clients {
		if want(tx) {
			list = append(list, tx)
		}
	}
	return list
}
