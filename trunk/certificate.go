package trunk

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// keyPair is a certificate in files, which are read again when they have
// changed: certificates are renewed while calls run.
type keyPair struct {
	trunk     string
	cert, key string        // PEM files
	every     time.Duration // between looks at the files
	log       *slog.Logger

	mu     sync.Mutex
	now    *tls.Certificate
	state  string // of the files that now was read from
	looked time.Time
}

// newKeyPair reads the files.
func newKeyPair(t *Trunk) (*keyPair, error) {
	p := &keyPair{trunk: t.cfg.Name, cert: t.cfg.TLSCert, key: t.cfg.TLSKey, every: t.srv.clock.certs, log: t.srv.log}
	p.state, p.looked = p.files(), time.Now()
	return p, p.read()
}

// files tells the state of the files: whether they may have changed.
func (p *keyPair) files() string {
	state := ""
	for _, name := range []string{p.cert, p.key} {
		if info, err := os.Stat(name); err == nil {
			state += fmt.Sprint(info.Size(), " ", info.ModTime().UnixNano(), ";")
		}
	}
	return state
}

func (p *keyPair) read() error {
	cert, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err == nil {
		p.now = &cert
	}
	return err
}

// current is the certificate as its files are now. What cannot be read, because
// one of both files is written later than the other, say, leaves the last one in
// force and is tried again.
func (p *keyPair) current() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.looked) < p.every {
		return p.now
	}
	p.looked = time.Now()
	state := p.files()
	if state == p.state {
		return p.now
	}
	if err := p.read(); err != nil {
		p.log.Warn("certificate not read again", "trunk", p.trunk, "file", p.cert, "error", err)
		return p.now
	}
	p.state = state
	p.log.Info("certificate read again", "trunk", p.trunk, "file", p.cert, "not_after", p.now.Leaf.NotAfter)
	return p.now
}

// keyPairs are those of the trunks that share a port.
type keyPairs []*keyPair

// choose is the certificate for a peer: by the name that it asks for, and
// whoever names none, or one that nobody has, gets the first.
func (list keyPairs) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	for _, p := range list {
		if cert := p.current(); hello.SupportsCertificate(cert) == nil {
			return cert, nil
		}
	}
	return list[0].current(), nil
}
