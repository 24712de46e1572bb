package trunkcast

import (
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/rtmp"
)

// servers are the counters of two targets as they go on.
type servers struct {
	now  time.Time
	list []OutputStats
}

func newServers() *servers {
	s := &servers{now: time.Unix(1000, 0)}
	for _, name := range []string{"a", "b"} {
		s.list = append(s.list, OutputStats{Name: name, RTMP: &rtmp.PublisherStats{State: rtmp.Live, Connects: 1}})
	}
	return s
}

// pass lets a time between two looks go by, in which every target takes a rate
// in bit/s and the first one drops some pictures.
func (s *servers) pass(rate int, dropped uint64) {
	s.now = s.now.Add(congestionLook)
	for _, o := range s.list {
		o.RTMP.Bytes += uint64(rate) * uint64(congestionLook/time.Second) / 8
	}
	s.list[0].RTMP.VideoDropped += dropped
}

// limits looks n times and returns the limits that are told.
func (c *congestion) limits(s *servers, n, rate int, dropped uint64) (list []int) {
	for range n {
		s.pass(rate, dropped)
		if limit, ok := c.look(s.list, s.now); ok {
			list = append(list, limit)
		}
	}
	return list
}

func TestCongestion(t *testing.T) {
	for name, ceiling := range map[string]int{"no limit": 0, "a limit": 1_200_000} {
		t.Run(name, func(t *testing.T) {
			c, s := &congestion{ceiling: ceiling}, newServers()
			if got := c.limits(s, 30, 1_000_000, 0); len(got) != 0 {
				t.Fatalf("told %v while all was well", got)
			}
			if got := c.limits(s, 3, 1_000_000, 9); len(got) != 3 || got[0] != 800_000 || got[1] != 720_000 || got[2] != 648_000 {
				t.Fatalf("told %v when pictures were dropped", got)
			}
			if got := c.limits(s, 4, 600_000, 0); len(got) != 0 {
				t.Errorf("told %v at once", got)
			}
			got := c.limits(s, 6, 600_000, 0)
			if len(got) != 2 || got[0] != 729_000 || got[1] != 820_125 {
				t.Errorf("told %v then", got)
			}
			if got := c.limits(s, 1, 700_000, 1); len(got) != 1 || got[0] != 560_000 {
				t.Errorf("told %v after a relapse", got)
			}
			if got := c.limits(s, 9, 500_000, 0); len(got) != 0 {
				t.Errorf("told %v too early after a relapse", got)
			}
			want := ceiling
			if want == 0 {
				want = noLimit
			}
			got = c.limits(s, 1000, 500_000, 0)
			if got[0] != 630_000 || got[len(got)-1] != want {
				t.Errorf("told %v in the end", got)
			}
			if got := c.limits(s, 1000, 500_000, 0); len(got) != 0 {
				t.Errorf("told %v when there is nothing to tell", got)
			}
		})
	}
}

// TestCongestionBounds: however little a target takes, a picture is possible,
// and a limit that was configured is never exceeded.
func TestCongestionBounds(t *testing.T) {
	for ceiling, want := range map[int]int{0: lowestLimit, 64_000: 64_000} {
		c, s := &congestion{ceiling: ceiling}, newServers()
		if got := c.limits(s, 100, 40_000, 5); len(got) == 0 || got[len(got)-1] != want {
			t.Errorf("told %v with a ceiling of %d", got, ceiling)
		}
	}
}

// TestNoCongestion: a target that was away, that takes nothing at all or that
// is no server is no reason to have less.
func TestNoCongestion(t *testing.T) {
	for name, happens := range map[string]func(o *OutputStats, look int){
		"away":         func(o *OutputStats, _ int) { o.RTMP.State = rtmp.Connecting },
		"reconnected":  func(o *OutputStats, i int) { o.RTMP.Connects += uint64(i) },
		"a black hole": func(o *OutputStats, _ int) { o.RTMP.Bytes = 0 },
		"a file":       func(o *OutputStats, _ int) { o.RTMP = nil; o.SubscriptionStats = media.SubscriptionStats{Dropped: 100} },
	} {
		c := &congestion{}
		for i := range 6 {
			s := newServers()
			for range i {
				s.pass(1_000_000, 7)
			}
			happens(&s.list[0], i)
			if limit, ok := c.look(s.list, s.now); ok {
				t.Errorf("%s: told %d", name, limit)
			}
		}
	}
}

// TestCongestionInBursts: what a slow target takes may show only now and then,
// when a long write has ended.
func TestCongestionInBursts(t *testing.T) {
	c, s := &congestion{}, newServers()
	c.limits(s, 1, 1_000_000, 0)
	if got := c.limits(s, 1, 0, 5); len(got) != 0 {
		t.Errorf("told %v while nothing is known", got)
	}
	if got := c.limits(s, 1, 0, 0); len(got) != 0 {
		t.Errorf("told %v while nothing is known", got)
	}
	if got := c.limits(s, 1, 1_500_000, 0); len(got) != 1 || got[0] != 400_000 {
		t.Errorf("told %v, 3 Mbit have gone out in 6 s", got)
	}
}

// TestCongestionTellsTargetsApart: two of one name, of which one has dropped
// pictures long ago.
func TestCongestionTellsTargetsApart(t *testing.T) {
	first, second := new(Output), new(Output)
	now := time.Now()
	var c congestion
	for i := range uint64(20) {
		now = now.Add(congestionLook)
		list := []OutputStats{
			{Name: "same", output: first, RTMP: &rtmp.PublisherStats{State: rtmp.Live, Connects: 1, VideoDropped: 5, Bytes: 1_000_000 * i}},
			{Name: "same", output: second, RTMP: &rtmp.PublisherStats{State: rtmp.Live, Connects: 1, Bytes: 1_000_000 * i}},
		}
		if limit, ok := c.look(list, now); ok {
			t.Fatalf("the caller is told %d bit/s", limit)
		}
	}
}
