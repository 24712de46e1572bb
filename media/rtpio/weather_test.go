package rtpio

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/trunkcast/trunkcast/internal/relay"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// reporting is how a caller's sender reports are.
type reporting int

const (
	reportsRight reporting = iota
	reportsMissing
	reportsLate  // by 8 s
	reportsWrong // those of the picture, by 1 s
)

func (r reporting) String() string { return [...]string{"right", "missing", "late", "wrong"}[r] }

// weather is a network and a caller.
type weather struct {
	loss    float64
	bursts  bool // loss comes in bursts of 5
	jitter  time.Duration
	mess    bool // 2 % reordered, 2 % doubled
	rate    int  // of the picture's way in bit/s, 0: no limit
	ppm     int64
	reports reporting
	nack    bool
	deaf    bool          // the caller sends nothing again
	thaw    time.Duration // Session.MaxFreeze
	pass    bool          // Session.PassDamaged
}

func (w weather) String() string {
	return fmt.Sprintf("loss %g bursts %v jitter %v mess %v rate %d skew %d reports %v nack %v",
		w.loss, w.bursts, w.jitter, w.mess, w.rate, w.ppm, w.reports, w.nack)
}

const (
	oneWay        = 25 * ms
	period        = 20 * ms // of sound and picture
	cameraLatency = 80 * ms // later than the sound the picture of a moment is sent
	reportPeriod  = 2400 * ms
)

func (w weather) impairments(rate int) relay.Impairments {
	i := relay.Impairments{Delay: oneWay, Jitter: w.jitter, Rate: rate, Queue: 300 * ms}
	if w.bursts {
		i.BurstLength, i.BurstLoss = 5, w.loss/5/(1-w.loss)
	} else {
		i.Loss = w.loss
	}
	if w.mess {
		i.Reorder, i.Duplicate = 0.02, 0.02
	}
	return i
}

// outside is a caller behind a network, and a receiver with the play-out of a
// session: all in the time of a synctest bubble.
type outside struct {
	t       testing.TB
	weather weather
	r       *receiver
	start   time.Time
	there   [2]*relay.Link
	back    *relay.Link

	mu     sync.Mutex
	came   [2][]arrived
	resend map[uint16][]byte // packets of pictures
	keyNow bool

	keys  keyFrames
	sound voice
	cam   camera
	sent  [2]map[uint32]time.Duration // when the last packet of a frame left
	seen  seen
}

type arrived struct {
	at time.Time
	b  []byte
}

// seen is what left the receiver.
type seen struct {
	count   [2]int
	last    [2]time.Duration // DTS
	lag     time.Duration    // PTS less capture time of the last sound
	offsets []time.Duration  // sound late, for each picture
	delays  [2][]time.Duration
	extra   [2][]time.Duration // of the delays, beyond the jitter buffer
	targets []time.Duration
	picture uint32 // number of the last one
	broken  int    // pictures whose reference was not given
}

// live runs a caller for d in a network and returns what came of it.
func (w weather) live(t testing.TB, d, settle time.Duration, seed uint64) *outside {
	o := &outside{t: t, weather: w, resend: map[uint16][]byte{}, sound: voice{ssrc: 1, ts: 1 << 31},
		cam: camera{t: t, format: h264Format(1), ssrc: 2, seq: 65000}, sent: [2]map[uint32]time.Duration{{}, {}}}
	s := &Session{MaxFreeze: w.thaw, PassDamaged: w.pass}
	s.init()
	defer s.cancel()
	o.r, o.start = s.receiver, s.start
	o.r.nack = func(int) bool { return w.nack }
	o.r.shows = func(int, sdp.Kind) bool { return true }
	o.r.setFormats(0, sdp.Audio, soundFormats, 0)
	o.r.setFormats(1, sdp.Video, pictureFormats, 0)
	for i, rate := range []int{0, w.rate} {
		o.there[i] = relay.NewLink(w.impairments(rate), 2*seed+uint64(i), func(_ int, b []byte) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.came[i] = append(o.came[i], arrived{time.Now(), b})
		})
	}
	o.back = relay.NewLink(relay.Impairments{Delay: oneWay, Loss: w.loss}, 3*seed, o.asked)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() { o.playOut(stop, settle) })
	for n := uint32(0); time.Since(o.start) < d; n++ {
		o.send(n)
		time.Sleep(time.Until(o.start.Add(time.Duration(n+1) * period)))
	}
	close(stop)
	wg.Wait()
	for _, l := range []*relay.Link{o.there[0], o.there[1], o.back} {
		l.Close()
	}
	return o
}

// clock is a caller's clock at a moment, in ticks of a rate.
func (o *outside) clock(at time.Duration, rate int) uint32 {
	at += time.Duration(int64(at/time.Microsecond) * o.weather.ppm / 1000)
	return uint32(ticks(at, rate))
}

// send sends sound and picture number n, and reports when it is time.
func (o *outside) send(n uint32) {
	at := time.Duration(n) * period
	v := o.sound.packet(160, 0)
	v.Timestamp = 1<<31 + o.clock(at, 8000)
	binary.BigEndian.PutUint32(v.Payload, n)
	o.post(0, &v)
	o.left(0, n)
	if shown := int64(n) - int64(cameraLatency/period); shown >= 0 {
		o.sendPicture(uint32(shown))
	}
	if at%reportPeriod == reportPeriod/2 {
		o.report(at)
	}
}

func (o *outside) sendPicture(n uint32) {
	o.mu.Lock()
	key := n == 0 || o.keyNow
	o.keyNow = false
	o.mu.Unlock()
	size := 2500
	if key {
		size = 9000
	}
	f := h264Picture(testTrack, key, size)
	f.Data[0] = append(f.Data[0], number(n)...)
	for _, p := range o.cam.picture(o.clock(time.Duration(n)*period, 90000), f) {
		o.post(1, &p)
	}
	o.left(1, n)
}

// left notes when the last packet of a frame left.
func (o *outside) left(line int, n uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent[line][n] = time.Since(o.start)
	delete(o.sent[line], n-historySize)
}

func (o *outside) sentAt(line int, n uint32) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent[line][n]
}

// number writes n so that no start code or emulation comes of it.
func number(n uint32) (b []byte) {
	for i := range 8 {
		b = append(b, 0x10+byte(n>>(28-4*i)&15))
	}
	return b
}

func numberOf(f *media.Frame) (n uint32) {
	b := f.Data[len(f.Data)-1]
	if !f.Track.Codec.Video() {
		return binary.BigEndian.Uint32(b)
	}
	for _, x := range b[len(b)-8:] {
		n = n<<4 | uint32(x-0x10)
	}
	return n
}

func (o *outside) post(line int, p *rtp.Packet) {
	p.Version = 2
	b, err := p.Marshal()
	if err != nil {
		o.t.Error(err)
		return
	}
	if line == 1 {
		o.mu.Lock()
		o.resend[p.SequenceNumber] = slices.Clone(b)
		delete(o.resend, p.SequenceNumber-historySize)
		o.mu.Unlock()
	}
	o.there[line].Send(0, b)
}

// report sends the sender reports of a moment.
func (o *outside) report(at time.Duration) {
	if o.weather.reports == reportsMissing {
		return
	}
	for line, rate := range []int{8000, 90000} {
		wall := at + 3_900_000_000*time.Second
		sr := rtcp.SenderReport{SSRC: uint32(line + 1), RTPTime: o.clock(at, rate)}
		if line == 0 {
			sr.RTPTime += 1 << 31
		} else if o.weather.reports == reportsWrong {
			wall += time.Second
		}
		sr.NTPTime = uint64(wall/time.Second)<<32 | uint64(wall%time.Second)<<32/uint64(time.Second)
		b, err := sr.Marshal()
		if err != nil {
			o.t.Error(err)
			return
		}
		if o.weather.reports == reportsLate {
			time.AfterFunc(8*time.Second, func() { o.there[line].Send(1, b) })
		} else {
			o.there[line].Send(1, b)
		}
	}
}

// asked serves what the receiver asked for: a key frame on channel 1, packets
// on channel 0.
func (o *outside) asked(channel int, b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if channel == 1 {
		o.keyNow = true
		return
	}
	for ; len(b) >= 2 && !o.weather.deaf; b = b[2:] {
		if p := o.resend[binary.BigEndian.Uint16(b)]; p != nil {
			o.there[1].Send(0, slices.Clone(p))
		}
	}
}

// playOut does what the goroutine of a session does at each tick.
func (o *outside) playOut(stop chan struct{}, settle time.Duration) {
	tick := time.NewTicker(busyInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-stop:
			return
		}
		o.read()
		now := time.Now()
		o.r.Pop(now, func(f *media.Frame) { o.emit(f, now.Sub(o.start), settle) })
		o.ask(now)
		if now.Sub(o.start) > 5*time.Second {
			o.r.SetRTT(2 * oneWay)
		}
	}
}

// read takes what has come.
func (o *outside) read() {
	for line := range o.came {
		o.mu.Lock()
		list := o.came[line]
		o.came[line] = nil
		o.mu.Unlock()
		for _, a := range list {
			if a.b[1] == byte(rtcp.TypeSenderReport) {
				var sr rtcp.SenderReport
				if err := sr.Unmarshal(a.b); err != nil {
					o.t.Error(err)
				}
				o.r.SenderReport(line, sr.SSRC, sr.NTPTime, sr.RTPTime, a.at)
				continue
			}
			var p rtp.Packet
			if err := p.Unmarshal(a.b); err != nil {
				o.t.Error(err)
			}
			o.r.Packet(line, &p, a.at)
		}
	}
}

func (o *outside) ask(now time.Time) {
	if o.r.KeyFrameWanted(1) {
		o.keys.want(now, o.keys.came.IsZero())
	}
	if lost := o.r.Nacks(1, now); len(lost) > 0 && o.weather.nack {
		var b []byte
		for _, n := range lost {
			b = binary.BigEndian.AppendUint16(b, n)
		}
		o.back.Send(0, b)
	}
	if rtcp, _ := o.keys.ask(keyMeans{feedback: sdp.Feedback{PLI: true}, interval: defaultKeyInterval}, now); rtcp != askNone {
		o.back.Send(1, []byte{0})
	}
}

// emit takes a frame and holds it to what is true of every one.
func (o *outside) emit(f *media.Frame, now, settle time.Duration) {
	line := 0
	if f.Track.Codec.Video() {
		line = 1
	}
	s, n := &o.seen, numberOf(f)
	if s.count[line] > 0 && f.DTS < s.last[line]+minStep || f.DTS < s.last[1-line] {
		o.t.Errorf("%v: line %d: %s, DTS %v, after %v", o.weather, line, describe(f), f.DTS, s.last)
	}
	s.last[line] = f.DTS
	s.count[line]++
	lag := f.PTS - time.Duration(n)*period
	if line == 0 {
		s.lag = lag
	} else {
		if !f.Key && n != s.picture+1 {
			s.broken++
		}
		s.picture = n
		o.keyCame(f.Key)
	}
	if now < settle {
		return
	}
	delay, target := now-o.sentAt(line, n)-oneWay, o.r.clock.Buffered(now)
	s.delays[line] = append(s.delays[line], delay)
	s.extra[line] = append(s.extra[line], max(delay-target, 0))
	s.targets = append(s.targets, target)
	if line == 1 {
		s.offsets = append(s.offsets, s.lag-lag)
	}
}

func (o *outside) keyCame(key bool) {
	if key {
		o.keys.got(time.Now())
	}
}

// percentile is that of the amounts of list.
func percentile(list []time.Duration, p int) time.Duration {
	if len(list) == 0 {
		return 0
	}
	sorted := make([]time.Duration, len(list))
	for i, d := range list {
		sorted[i] = d.Abs()
	}
	slices.Sort(sorted)
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}
