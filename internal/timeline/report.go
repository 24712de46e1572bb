package timeline

import (
	"slices"
	"time"
)

const (
	// MaxBias is how far sender reports may move a track from where arrival
	// puts it.
	MaxBias = 250 * time.Millisecond
	// maxApart is how old one track's report may be when the other's comes.
	maxApart = 30 * time.Second
)

// reports is what sender reports told last.
type reports struct {
	ntp time.Duration // wall clock less RTP time
	at  time.Duration // arrival
	ok  bool
}

// SenderReport takes the wall clock of the caller (NTP, 32.32 fixed point) that
// belongs to an RTP time. It tells whether it was believed: a report alone is,
// until the other track's contradicts it.
func (t *Track) SenderReport(ntp uint64, rtp uint32, now time.Duration) bool {
	if !t.mapped || ntp == 0 {
		return false
	}
	wall := time.Duration(ntp>>32)*time.Second + time.Duration(ntp&0xffffffff*uint64(time.Second)>>32)
	t.reports = reports{ntp: wall - t.media(t.unwrap(rtp)), at: now, ok: true}
	if l := t.tl.leader(t, now); l != nil {
		return t.learn(l, now)
	}
	believed := true
	for _, o := range t.tl.tracks {
		if o != t && o.mapped && t.tl.leader(o, now) == t {
			believed = o.learn(t, now) && believed
		}
	}
	return believed
}

// learn takes the bias that the reports of t and its leader tell together.
func (t *Track) learn(l *Track, now time.Duration) bool {
	a, b := &t.reports, &l.reports
	if !a.ok || !b.ok {
		return true
	}
	if (a.at - b.at).Abs() > maxApart {
		return true
	}
	ours, _, ok := t.transit.get(now)
	theirs, _, ok2 := l.transit.get(now)
	if !ok || !ok2 {
		return true
	}
	bias := a.ntp - b.ntp - (ours - theirs)
	if bias.Abs() > MaxBias {
		return false
	}
	t.bias = t.biases.add(bias)
	return true
}

// median is that of the last five values.
type median struct {
	values [5]time.Duration
	n      int
}

func (m *median) add(v time.Duration) time.Duration {
	m.values[m.n%len(m.values)] = v
	m.n++
	sorted := m.values
	list := sorted[:min(m.n, len(sorted))]
	slices.Sort(list)
	return list[(len(list)-1)/2]
}
