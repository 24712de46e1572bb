//go:build linux

package peertest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// baresipControl is a connection to baresip's ctrl_tcp module: JSON objects as
// netstrings, answers and events mixed. baresip keeps one connection only, and
// forgets events that nobody was there to hear.
type baresipControl struct {
	t    testing.TB
	conn net.Conn

	mu      sync.Mutex
	token   int
	answers map[string]baresipMessage
	events  []BaresipEvent
	seen    map[string]int // by type: the events up to there were returned by wait
	end     error          // why reading ended
}

// BaresipEvent is one event of the ctrl_tcp module.
type BaresipEvent struct {
	Type  string `json:"type"`
	Class string `json:"class"`
	Param string `json:"param"`
	ID    string `json:"id"`
}

// baresipMessage is what comes over the connection.
type baresipMessage struct {
	BaresipEvent
	Event    bool   `json:"event"`
	Response bool   `json:"response"`
	OK       bool   `json:"ok"`
	Data     string `json:"data"`
	Token    string `json:"token"`
}

// dialBaresip connects once the program listens.
func dialBaresip(t testing.TB, p *Process, addr string) *baresipControl {
	t.Helper()
	c := &baresipControl{t: t, answers: map[string]baresipMessage{}, seen: map[string]int{}}
	Eventually(t, startLimit, "baresip can be driven", func() bool {
		p.mustRun(t)
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		c.conn = conn
		return err == nil
	})
	ended := make(chan struct{})
	t.Cleanup(func() {
		_ = c.conn.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		err := c.read()
		c.mu.Lock()
		c.end = err
		c.mu.Unlock()
	}()
	return c
}

// read keeps answers and events until the connection ends.
func (c *baresipControl) read() error {
	r := bufio.NewReader(c.conn)
	for {
		text, err := readNetstring(r)
		if err != nil {
			return err
		}
		var m baresipMessage
		if err := json.Unmarshal(text, &m); err != nil {
			return fmt.Errorf("%w: %q", err, text)
		}
		c.mu.Lock()
		if m.Event {
			c.events = append(c.events, m.BaresipEvent)
		}
		if m.Response {
			c.answers[m.Token] = m
		}
		c.mu.Unlock()
	}
}

// readNetstring reads "5:hello,".
func readNetstring(r *bufio.Reader) ([]byte, error) {
	size, err := r.ReadString(':')
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(size, ":"), 10, 20)
	if err != nil {
		return nil, err
	}
	text := make([]byte, n+1)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, err
	}
	return text[:n], nil
}

// do sends a command and returns what baresip printed for it, failing the test
// if the command failed.
func (c *baresipControl) do(command, params string) string {
	c.t.Helper()
	c.mu.Lock()
	c.token++
	token := strconv.Itoa(c.token)
	c.mu.Unlock()
	text, err := json.Marshal(map[string]string{"command": command, "params": params, "token": token})
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(c.conn, "%d:%s,", len(text), text); err != nil {
		c.t.Fatalf("baresip %s: %v", command, err)
	}
	var m baresipMessage
	Eventually(c.t, 15*time.Second, "baresip answers to "+command, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		got, ok := c.answers[token]
		if !ok && c.end != nil {
			c.t.Fatalf("baresip %s: the control connection ended: %v", command, c.end)
		}
		m = got
		delete(c.answers, token)
		return ok
	})
	if !m.OK {
		c.t.Fatalf("baresip %s %s: %s", command, params, m.Data)
	}
	return m.Data
}

// all returns the events so far.
func (c *baresipControl) all() []BaresipEvent {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]BaresipEvent(nil), c.events...)
}

// wait returns the next event of one of the types that it has not returned
// before.
func (c *baresipControl) wait(limit time.Duration, types ...string) BaresipEvent {
	c.t.Helper()
	var found BaresipEvent
	Eventually(c.t, limit, "baresip event "+strings.Join(types, " or "), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i, e := range c.events {
			for _, kind := range types {
				if e.Type == kind && i >= c.seen[kind] {
					c.seen[kind] = i + 1
					found = e
					return true
				}
			}
		}
		if c.end != nil {
			c.t.Fatalf("the control connection of baresip ended: %v", c.end)
		}
		return false
	})
	return found
}
