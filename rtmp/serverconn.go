package rtmp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/notedit/rtmp/format/flv/flvio"
)

// serverConn is a client of the server. serve runs in one goroutine and owns
// all fields but those under mu.
type serverConn struct {
	server *Server
	nc     net.Conn
	*conn  // after the handshake
	log    *slog.Logger

	app       string // with its query
	tcURL     string
	flashVer  string
	enhanced  bool
	connected bool
	streams   uint32 // created so far
	active    uint32 // message stream that publishes or plays
	publish   *hubStream
	play      *hubStream
	player    *playerSub
	deadline  time.Time // of reading, as set

	mu   sync.Mutex
	down bool
}

// shutdown ends the connection from outside: at once, or, for a player, after
// it was told.
func (c *serverConn) shutdown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = true
	if c.conn == nil {
		_ = c.nc.Close()
		return
	}
	c.closeWhenWritten()
}

// serve runs the connection to its end.
func (c *serverConn) serve() {
	defer func() { _ = c.nc.Close() }()
	c.log = c.server.log.With("remote_addr", c.nc.RemoteAddr().String())
	_ = c.nc.SetDeadline(time.Now().Add(c.server.SetupTimeout))
	r := bufio.NewReaderSize(c.nc, 16<<10)
	if err := serverHandshake(c.nc, r); err != nil {
		c.log.Debug("RTMP handshake failed", "error", err)
		return
	}
	if !c.ready(r) {
		return
	}
	defer c.conn.close()
	err := c.loop()
	c.leave()
	if !isEnd(err) && c.server.ctx.Err() == nil {
		c.log.Warn("RTMP connection failed", "error", err)
	}
}

func (c *serverConn) ready(r *bufio.Reader) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return false
	}
	c.conn = newConn(c.nc, r, c.server.MaxMessage, c.server.WriteTimeout)
	return true
}

// loop handles messages until the connection ends, and tells why.
func (c *serverConn) loop() error {
	for {
		m, err := c.read()
		if err != nil {
			return err
		}
		switch m.kind {
		case kindCommand, kindCommandAMF3:
			cmd, err := decodeCommand(m)
			if err != nil {
				return err
			}
			if err := c.handle(m.stream, cmd); err != nil {
				return err
			}
		case kindAudio, kindVideo, kindData, kindDataAMF3:
			if c.publish != nil {
				c.media(m)
			}
		}
		c.extend()
	}
}

// extend moves the read deadline, where it is not far enough away any more.
func (c *serverConn) extend() {
	if c.publish == nil {
		return
	}
	if d := time.Now().Add(c.server.IdleTimeout); d.Sub(c.deadline) > c.server.IdleTimeout/8 {
		c.deadline = d
		_ = c.nc.SetReadDeadline(d)
	}
}

// media takes a message of the published stream.
func (c *serverConn) media(m message) {
	switch m.kind {
	case kindDataAMF3:
		m.kind = kindData
		m.payload = m.payload[min(1, len(m.payload)):]
		fallthrough
	case kindData:
		m.payload = withoutSetDataFrame(m.payload)
		if checkAMF(m.payload) != nil || !bytes.HasPrefix(m.payload, encodeAMF("onMetaData")) {
			return
		}
	}
	t, err := newTag(m.kind, m.time, m.payload)
	if err != nil || len(m.payload) == 0 {
		return // concerns this tag only
	}
	c.publish.write(t)
}

// withoutSetDataFrame removes the command that encoders put before metadata.
func withoutSetDataFrame(p []byte) []byte {
	return bytes.TrimPrefix(p, encodeAMF("@setDataFrame"))
}

// handle does one command. An error ends the connection.
func (c *serverConn) handle(stream uint32, cmd *command) error {
	if !c.connected && cmd.name != "connect" {
		return protocolError("%q before connect", shorten(cmd.name))
	}
	switch cmd.name {
	case "connect":
		return c.connect(cmd)
	case "createStream":
		const most = 16
		if c.streams++; c.streams > most {
			return protocolError("more than %d streams on a connection", most)
		}
		return c.command(0, "_result", cmd.id, nil, c.streams)
	case "releaseStream", "_checkbw", "FCUnpublish":
		return c.command(0, "_result", cmd.id, nil)
	case "getStreamLength":
		return c.command(0, "_result", cmd.id, nil, 0)
	case "FCPublish":
		return c.command(0, "onFCPublish", 0, nil, status("status", "NetStream.Publish.Start", "FCPublish"))
	case "FCSubscribe":
		return c.command(0, "onFCSubscribe", 0, nil, status("status", "NetStream.Play.Start", "FCSubscribe"))
	case "publish":
		return c.startPublish(stream, cmd)
	case "play":
		return c.startPlay(stream, cmd)
	case "deleteStream", "closeStream":
		return c.stop()
	case "_result", "_error", "onStatus", "receiveAudio", "receiveVideo", "pause", "seek", "SetDataFrame":
		return nil
	}
	if cmd.id == 0 {
		return nil
	}
	return c.command(0, "_error", cmd.id, nil, status("error", "NetConnection.Call.Failed", "unknown command"))
}

// shorten bounds a text of the client for an error.
func shorten(s string) string { return s[:min(len(s), 64)] }

func status(level, code, description string) flvio.AMFMap {
	return flvio.AMFMap{{K: "level", V: level}, {K: "code", V: code}, {K: "description", V: description}}
}

func (c *serverConn) connect(cmd *command) error {
	if c.connected {
		return protocolError("second connect")
	}
	c.connected = true
	c.app, _ = cmd.object.GetString("app")
	c.tcURL, _ = cmd.object.GetString("tcUrl")
	c.flashVer, _ = cmd.object.GetString("flashVer")
	_, c.enhanced = cmd.object.GetV("fourCcList")
	if _, ok := cmd.object.GetV("videoFourCcInfoMap"); ok {
		c.enhanced = true
	}
	_ = c.control(kindWindowAckSize, ackWindow)
	b := []byte{ackWindow >> 24, ackWindow >> 16 & 0xff, ackWindow >> 8 & 0xff, ackWindow & 0xff, 2}
	_ = c.send(csidControl, kindPeerBandwidth, 0, 0, b)
	_ = c.setChunk()
	info := append(status("status", "NetConnection.Connect.Success", "Connection succeeded."),
		flvio.AMFKv{K: "objectEncoding", V: 0})
	return c.command(0, "_result", cmd.id, flvio.AMFMap{
		{K: "fmsVer", V: "FMS/3,0,1,123"}, {K: "capabilities", V: 31},
		{K: "fourCcList", V: flvio.AMFArray{fourCCHEVC, fourCCAVC, fourCCOpus, fourCCAAC}},
	}, info)
}

// request reads what publish and play name.
func (c *serverConn) request(cmd *command) (*Request, error) {
	app, appQuery, _ := strings.Cut(c.app, "?")
	name, query, _ := strings.Cut(cmd.text(0), "?")
	r := &Request{
		Remote: c.nc.RemoteAddr(), App: strings.Trim(app, "/"), Stream: strings.Trim(name, "/"),
		Query: url.Values{}, TCURL: c.tcURL, FlashVer: c.flashVer, Enhanced: c.enhanced, TLS: c.server.TLS != nil,
	}
	_, tcQuery, _ := strings.Cut(c.tcURL, "?")
	for _, q := range []string{query, appQuery, tcQuery} {
		v, _ := url.ParseQuery(q) // what can be read of it
		for k, vs := range v {
			r.Query[k] = append(r.Query[k], vs...)
		}
	}
	if r.App == "" || r.Stream == "" {
		return nil, errBadName
	}
	return r, checkName(r.Name())
}

// admitted asks key and hook.
func (c *serverConn) admitted(r *Request, key string, hook func(context.Context, *Request) error) (err error) {
	if !keyMatches(key, r.Query) {
		return errWrongKey
	}
	if hook == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.server.ctx, c.server.SetupTimeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			c.log.Error("hook panicked", "panic", v, "stack", string(debug.Stack()))
			err = errHook
		}
	}()
	return hook(ctx, r)
}

// no is a refusal.
type no struct {
	host, stream, code string
	at                 time.Time
}

// noLevel is Warn for a refusal that is not that of a moment ago, else Debug:
// a client that tries for ever is one line of the log a minute.
func (s *Server) noLevel(n no) slog.Level {
	s.mu.Lock()
	defer s.mu.Unlock()
	n.at = time.Now()
	last := s.lastNo
	if last.host == n.host && last.stream == n.stream && last.code == n.code && n.at.Sub(last.at) < time.Minute {
		return slog.LevelDebug
	}
	s.lastNo = n
	return slog.LevelWarn
}

func hostOf(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

// refuse tells the client why and ends the connection.
func (c *serverConn) refuse(stream uint32, code string, r *Request, err error) error {
	name := ""
	if r != nil {
		name = r.Name()
	}
	c.log.Log(context.Background(), c.server.noLevel(no{host: hostOf(c.nc.RemoteAddr()), stream: name, code: code}),
		"RTMP client refused", "stream", name, "code", code, "error", err)
	text := strings.TrimPrefix(err.Error(), "rtmp: ")
	_ = c.command(stream, "onStatus", 0, nil, status("error", code, text))
	c.closeWhenWritten()
	return nil
}

func (c *serverConn) startPublish(stream uint32, cmd *command) error {
	if c.publish != nil || c.play != nil {
		return protocolError("second stream on a connection")
	}
	r, err := c.request(cmd)
	if err != nil {
		return c.refuse(stream, "NetStream.Publish.BadName", r, err)
	}
	if err := c.admitted(r, c.server.PublishKey, c.server.OnPublish); err != nil {
		return c.refuse(stream, "NetStream.Publish.Denied", r, err)
	}
	h := &hubStream{name: r.Name(), remote: r.Remote.String(), cacheMax: c.server.MaxCache, kick: c.shutdown}
	if err := c.server.hub.publish(h, c.server.MaxStreams); err != nil {
		return c.refuse(stream, "NetStream.Publish.BadName", r, err)
	}
	c.publish, c.active = h, stream
	c.log.Info("stream published", "stream", h.name, "client", shorten(c.flashVer))
	_ = c.nc.SetReadDeadline(time.Time{})
	_ = c.event(eventStreamBegin, stream)
	return c.command(stream, "onStatus", 0, nil, status("status", "NetStream.Publish.Start", "publishing "+r.Stream))
}

func (c *serverConn) startPlay(stream uint32, cmd *command) error {
	if c.publish != nil || c.play != nil {
		return protocolError("second stream on a connection")
	}
	r, err := c.request(cmd)
	if err != nil {
		return c.refuse(stream, "NetStream.Play.StreamNotFound", r, err)
	}
	if err := c.admitted(r, c.server.PlayKey, c.server.OnPlay); err != nil {
		return c.refuse(stream, "NetStream.Play.Failed", r, err)
	}
	h := c.server.hub.find(r.Name())
	if h == nil {
		return c.refuse(stream, "NetStream.Play.StreamNotFound", r, ErrNoStream)
	}
	_ = c.nc.SetReadDeadline(time.Time{})
	_ = c.event(eventStreamBegin, stream)
	for _, s := range []string{"Reset", "Start"} {
		if err := c.command(stream, "onStatus", 0, nil, status("status", "NetStream.Play."+s, "playing "+r.Stream)); err != nil {
			return err
		}
	}
	sub := &playerSub{conn: c.conn, stream: stream, enhanced: c.enhanced, gate: gate{max: c.server.MaxQueue, waitKey: true}}
	if !h.join(sub) {
		return c.refuse(stream, "NetStream.Play.StreamNotFound", r, ErrNoStream)
	}
	c.play, c.player, c.active = h, sub, stream
	c.log.Info("player joined", "stream", h.name, "client", shorten(c.flashVer))
	return nil
}

// stop ends publishing or playing at the client's wish, which then has the time
// of a new one to begin again.
func (c *serverConn) stop() error {
	_ = c.nc.SetReadDeadline(time.Now().Add(c.server.SetupTimeout))
	if c.publish != nil {
		stream := c.active
		c.leave()
		return c.command(stream, "onStatus", 0, nil, status("status", "NetStream.Unpublish.Success", "unpublished"))
	}
	c.leave()
	return nil
}

// leave ends publishing or playing.
func (c *serverConn) leave() {
	if c.publish != nil {
		c.server.hub.remove(c.publish)
		c.log.Info("stream ended", "stream", c.publish.name)
		c.publish = nil
	}
	if c.play != nil {
		c.play.leave(c.player)
		c.log.Info("player left", "stream", c.play.name, "dropped", c.player.dropped())
		c.play = nil
	}
}

// playerSub is a player as a subscriber of its stream.
type playerSub struct {
	conn     *conn
	stream   uint32
	enhanced bool
	gate     gate // under conn.mu
}

func (p *playerSub) deliver(t *tag) {
	if t.enhanced && !p.enhanced {
		return // it could only misunderstand them
	}
	if p.conn.begin() != nil {
		return
	}
	defer p.conn.end()
	queued, age := p.conn.backlog()
	if !p.gate.pass(t, queued, age > lateAfter) || queued > 4*p.gate.max {
		return
	}
	csid := byte(csidData)
	switch t.kind {
	case kindAudio:
		csid = csidAudio
	case kindVideo:
		csid = csidVideo
	}
	p.conn.out.message(csid, t.kind, p.stream, t.time, t.payload)
}

// lateAfter is how long a write to a player may take before frames are
// dropped.
const lateAfter = 3 * time.Second

func (p *playerSub) end() {
	_ = p.conn.event(eventStreamEOF, p.stream)
	for _, s := range []string{"UnpublishNotify", "Stop"} {
		_ = p.conn.command(p.stream, "onStatus", 0, nil, status("status", "NetStream.Play."+s, "the stream has ended"))
	}
	p.conn.closeWhenWritten()
}

func (p *playerSub) dropped() uint64 {
	p.conn.mu.Lock()
	defer p.conn.mu.Unlock()
	return p.gate.dropped
}

// isTemporary tells whether accepting may work again later.
func isTemporary(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) ||
		errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}
