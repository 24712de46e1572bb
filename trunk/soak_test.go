package trunk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// soak has one server call another and both do what they may at random
// moments: CANCEL, BYE, re-INVITE, UPDATE, INFO, a refusal, all of them crossing.
type soak struct {
	t      *testing.T
	rate   int // calls a second
	caller *Server
	called *Server

	mu     sync.Mutex
	random *rand.Rand
	seen   map[string]int // what happened, how often
	served int            // calls that reached the Handler
	faults []string
}

// upTo is a random time below d.
func (k *soak) upTo(d time.Duration) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return time.Duration(k.random.Int64N(int64(d)))
}

// choose is a random number below n.
func (k *soak) choose(n int) int { return int(k.upTo(time.Duration(n))) }

func (k *soak) note(what string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen[what]++
}

func (k *soak) fault(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.faults) < 20 {
		k.faults = append(k.faults, fmt.Sprintf(format, args...))
	}
}

// pause waits for a random time below d, or the end of ctx.
func (k *soak) pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(k.upTo(d)):
	case <-ctx.Done():
	}
}

// ServeCall is the far side.
func (k *soak) ServeCall(ctx context.Context, c *Call) {
	k.mu.Lock()
	k.served++
	k.mu.Unlock()
	if k.choose(2) == 0 {
		c.Ring(180, "")
	}
	k.pause(ctx, 600*time.Millisecond)
	if k.choose(12) == 0 {
		if err := c.Reject(486, "", "busy at random"); err == nil {
			k.note("refused")
		}
		return
	}
	n := &trunktest.Negotiator{}
	defer k.judge(c, n)
	if err := c.Answer(ctx, n); err != nil {
		if e, ok := c.Err().(*EndError); !ok || !e.ByPeer {
			k.fault("answer: %v, end: %v", err, c.Err())
		}
		k.note("answer overtaken by CANCEL")
		return
	}
	k.talk(c)
}

// call is the near side.
func (k *soak) call(number int) {
	n := &trunktest.Negotiator{}
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if k.choose(3) == 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Millisecond+k.upTo(900*time.Millisecond))
	}
	defer cancel()
	c, err := k.caller.Trunk("t0").Dial(ctx, n, DialOptions{Number: fmt.Sprint(number)})
	var status *StatusError
	switch {
	case err == nil:
		k.note("established")
		k.talk(c)
		k.judge(c, n)
	case errors.Is(err, context.DeadlineExceeded):
		k.note("cancelled")
	case errors.As(err, &status) && status.Code == 486:
	default:
		k.fault("dial %d: %v", number, err)
	}
	if n.Fault() != "" {
		k.fault("%s", n.Fault())
	}
}

// talk does a few things in a call, from two goroutines, and ends it.
func (k *soak) talk(c *Call) {
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range k.choose(3) {
				k.pause(c.ctx, 700*time.Millisecond)
				k.act(c)
			}
		})
	}
	if k.choose(2) == 0 {
		wg.Wait() // else the end may come in the middle of something
	}
	k.pause(c.ctx, 2*time.Second)
	if err := c.Hangup(context.Background(), "enough"); err != nil {
		k.fault("hangup: %v", err)
	}
	wg.Wait()
}

// act does one thing in a call, which may meet anything.
func (k *soak) act(c *Call) {
	what, err := "INFO", error(nil)
	switch k.choose(4) {
	case 0:
		what = "UPDATE"
		_, err = c.Do(context.Background(), sip.NewRequest(sip.UPDATE, sip.Uri{}))
	case 1:
		_, err = c.Do(context.Background(), sip.NewRequest(sip.INFO, sip.Uri{}))
	default:
		what = "re-INVITE"
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if k.choose(4) == 0 {
			cancel()
			ctx, cancel = context.WithTimeout(context.Background(), k.upTo(200*time.Millisecond)+1)
		}
		defer cancel()
		err = c.Renegotiate(ctx)
	}
	var status *StatusError
	switch {
	case err == nil:
		k.note(what)
	case c.Err() != nil:
		k.note(what + " overtaken by BYE")
	case what == "re-INVITE" && errors.Is(err, context.DeadlineExceeded):
		k.note("re-INVITE cancelled")
	case errors.As(err, &status) && status.Code == 500 && status.Warning == "CSeq below the last one":
		k.note("re-INVITE swapped with the next request") // RFC 3261 section 12.2.2
	default:
		k.fault("%s: %v", what, err)
	}
}

// judge looks at a call that has to have ended by a BYE of either side, or by
// the 481 to what that BYE has crossed, with a Negotiator that was asked one
// thing at a time.
func (k *soak) judge(c *Call, n *trunktest.Negotiator) {
	<-c.Done()
	if n.Fault() != "" {
		k.fault("%s", n.Fault())
	}
	var status *StatusError
	e, ok := c.Err().(*EndError)
	if !ok || e.Err != nil && !(errors.As(e.Err, &status) && status.Code == 481) {
		k.fault("end of %s: %v", c.ID(), c.Err())
	}
}

// run makes the calls, and waits until the last transaction has ended.
func (k *soak) run(calls int) {
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() { k.call(i) })
		time.Sleep(time.Second / time.Duration(k.rate))
	}
	wg.Wait()
	for range 100 { // a CANCEL may be on its way yet
		if len(k.caller.Calls())+len(k.called.Calls()) == 0 {
			break
		}
		time.Sleep(time.Second)
	}
	time.Sleep(35 * time.Second) // timers D, J, L, and those of forks
}

// check tells what was wrong, and what is left.
func (k *soak) check(calls int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, f := range k.faults {
		k.t.Error(f)
	}
	if k.served != calls {
		k.t.Errorf("%d calls reached the Handler of %d", k.served, calls)
	}
	kinds := []string{"established", "refused", "cancelled", "re-INVITE", "re-INVITE cancelled", "re-INVITE overtaken by BYE", "UPDATE", "INFO"}
	for _, what := range kinds {
		if k.seen[what] == 0 {
			k.t.Errorf("no call was of the kind %q", what)
		}
	}
	for name, s := range map[string]*Server{"caller": k.caller, "called": k.called} {
		k.checkServer(name, s)
	}
	var list []string
	for what, n := range k.seen {
		list = append(list, fmt.Sprintf("%s %d", what, n))
	}
	slices.Sort(list)
	k.t.Log(list)
}

func (k *soak) checkServer(name string, s *Server) {
	for _, sock := range s.sockets {
		sock.mu.Lock()
		if len(sock.dialogs)+len(sock.dials)+len(sock.near) != 0 {
			k.t.Errorf("%s keeps %d dialogs, %d INVITEs, %d addresses", name, len(sock.dialogs), len(sock.dials), len(sock.near))
		}
		sock.mu.Unlock()
		if st := sock.ep.Stats(); st.ServerTransactions+st.ClientTransactions != 0 || st.Malformed != 0 {
			k.t.Errorf("%s: %+v", name, st)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count != 0 || len(s.calls) != 0 || s.list[0].count != 0 {
		k.t.Errorf("%s counts %d calls, %d of the trunk", name, s.count, s.list[0].count)
	}
}

// newSoak makes both servers, on w or, if that is nil, on sockets.
func newSoak(t *testing.T, seed uint64, rate int, transport string, w *wire) *soak {
	k := &soak{t: t, rate: rate, random: rand.New(rand.NewPCG(seed, 1)), seen: map[string]int{}}
	k.called = &Server{Trunks: []Config{{}}, Handler: k}
	k.caller = &Server{Trunks: []Config{{Transport: transport}}}
	if w != nil {
		k.called.packets, k.caller.packets = w.listen, w.listen
		k.called.Trunks[0].LocalPort, k.caller.Trunks[0].LocalPort = 5070, 5071
	}
	serve(t, k.called)
	k.caller.Trunks[0].RemotePort = int(addrOfServer(k.called).Port())
	serve(t, k.caller)
	return k
}

// heldNow is what the program holds: bytes of the heap, and goroutines.
func heldNow() (heap uint64, goroutines int) {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers have let go
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, runtime.NumGoroutine()
}

// maxHeapGrowth in bytes: a call that stays in memory with its messages is
// more than 10 KB, a thousand are more than this.
const maxHeapGrowth = 4 << 20

// A thousand calls at 50 a second on a network that swaps and loses datagrams,
// with CANCEL, BYE and re-INVITE at random moments: none fails, and 35 s after
// the last everything is as it was at the start.
func TestThousandCallsAtRandom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 1000
		k := newSoak(t, 7, 50, "udp", newWire(7, 60*time.Millisecond, 20))
		heap, goroutines := heldNow()
		k.run(calls)
		synctest.Wait()
		k.check(calls)
		after, n := heldNow()
		if n > goroutines {
			t.Errorf("%d goroutines, %d at the start", n, goroutines)
		}
		if after > heap+maxHeapGrowth {
			t.Errorf("%d KB of heap, %d KB at the start", after>>10, heap>>10)
		}
		t.Logf("heap %d KB, %d KB at the start", after>>10, heap>>10)
	})
}

// An INVITE is forgotten in time also where its answer and the end of its
// context come at the same moment.
func TestAnswerMeetsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newSoak(t, 3, 50, "udp", newWire(3, 0, 0))
		k.called.Handler = HandlerFunc(func(_ context.Context, c *Call) {
			c.Ring(180, "")
			c.Reject(486, "", "")
		})
		// Both wait when the one who dials looks.
		late := func(*sip.Response) { time.Sleep(2 * time.Second) }
		refused := 0
		for i := range 200 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_, err := k.caller.Trunk("t0").Dial(ctx, &trunktest.Negotiator{}, DialOptions{
				Number: fmt.Sprint(i), OnProgress: late,
			})
			var status *StatusError
			if errors.As(err, &status) {
				refused++
			}
			cancel()
		}
		if refused == 0 || refused == 200 {
			t.Errorf("%d of 200 refused: they did not meet", refused)
		}
		time.Sleep(35 * time.Second)
		synctest.Wait()
		k.checkServer("caller", k.caller)
	})
}
