package rtmp

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/notedit/rtmp/format/flv/flvio"
)

// flashVer is what encoders call themselves; servers look for "FMLE".
const flashVer = "FMLE/3.0 (trunkcast)"

// dialer opens sessions to one target.
type dialer struct {
	target       *target
	tls          *tls.Config
	dial         func(ctx context.Context, network, addr string) (net.Conn, error)
	timeout      time.Duration // for all until publishing or playing
	writeTimeout time.Duration
	limit        int // bytes of one message from the server
	play         bool
}

// session is a client's connection on which a stream is published or played.
type session struct {
	*conn
	target *target
	stream uint32
	id     float64 // of the last command that wants an answer
	early  []message
}

// open connects and does all commands up to publishing or playing. A server
// that asks for a user name and password is dialled again with them. What a
// server says in refusing is whole up to here, and without secrets from here.
func (d *dialer) open(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	var auth adobeAuth
	for {
		s, err := d.try(ctx, auth.query())
		if err == nil {
			return s, nil
		}
		var refused *RefusedError
		if !errors.As(err, &refused) {
			return nil, err
		}
		description := refused.Description
		refused.Description = d.target.scrub(description)
		if refused.Stage != "connect" {
			return nil, err
		}
		again, authErr := auth.next(d.target, description)
		if authErr != nil {
			refused.Err = authErr
		}
		if !again {
			return nil, err
		}
	}
}

// try is one connection.
func (d *dialer) try(ctx context.Context, auth string) (*session, error) {
	nc, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	deadline, _ := ctx.Deadline()
	_ = nc.SetDeadline(deadline)
	s, err := d.begin(nc, auth)
	if !stop() && err == nil {
		s.close()
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = nc.Close()
		if ctxErr := ctx.Err(); ctxErr != nil && !errors.Is(err, ctxErr) {
			err = fmt.Errorf("%w (%w)", err, ctxErr)
		}
		return nil, err
	}
	_ = nc.SetReadDeadline(time.Time{})
	return s, nil
}

func (d *dialer) connect(ctx context.Context) (net.Conn, error) {
	dial := d.dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	nc, err := dial(ctx, "tcp", d.target.addr)
	if err != nil {
		return nil, fmt.Errorf("rtmp dial: %w", err)
	}
	if tcp, ok := nc.(*net.TCPConn); ok {
		// What the kernel holds is late already and cannot be dropped: a
		// second or two of 1 Mbit/s.
		_ = tcp.SetWriteBuffer(128 << 10)
		giveUpAfter(tcp, d.writeTimeout)
	}
	if !d.target.tls {
		return nc, nil
	}
	config := d.tls.Clone()
	if config == nil {
		config = &tls.Config{}
	}
	if config.ServerName == "" {
		config.ServerName = d.target.host
	}
	tc := tls.Client(nc, config)
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("rtmps handshake with %s: %w", d.target.addr, err)
	}
	return tc, nil
}

// begin does the handshake and the commands.
func (d *dialer) begin(nc net.Conn, auth string) (*session, error) {
	r := bufio.NewReaderSize(nc, 4096)
	if err := clientHandshake(nc, r); err != nil {
		return nil, fmt.Errorf("rtmp handshake: %w", err)
	}
	s := &session{conn: newConn(nc, r, d.limit, d.writeTimeout), target: d.target}
	err := s.connectApp(auth, d.play)
	if err == nil {
		if d.play {
			err = s.play()
		} else {
			err = s.publish()
		}
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// connectApp sends connect and waits for its result (RTMP 1.0, section
// 7.2.1.1).
func (s *session) connectApp(auth string, play bool) error {
	if err := s.setChunk(); err != nil {
		return err
	}
	object := flvio.AMFMap{
		{K: "app", V: s.target.app + auth},
		{K: "type", V: "nonprivate"},
		{K: "flashVer", V: flashVer},
		{K: "tcUrl", V: s.target.tcURL + auth},
	}
	if play {
		object = append(object,
			flvio.AMFKv{K: "fpad", V: false}, flvio.AMFKv{K: "capabilities", V: 15},
			flvio.AMFKv{K: "audioCodecs", V: 0x0fff}, flvio.AMFKv{K: "videoCodecs", V: 0x00ff},
			flvio.AMFKv{K: "videoFunction", V: 1})
	}
	object = append(object, flvio.AMFKv{K: "fourCcList", V: flvio.AMFArray{
		fourCCHEVC, fourCCAVC, fourCCOpus, fourCCAAC,
	}})
	_, err := s.call("connect", object)
	return err
}

// publish announces the stream. releaseStream and FCPublish are what encoders
// send; not every server answers them, so nobody waits.
func (s *session) publish() error {
	name := s.target.stream
	for _, c := range []string{"releaseStream", "FCPublish"} {
		s.id++
		if err := s.command(0, c, s.id, nil, name); err != nil {
			return err
		}
	}
	if err := s.createStream(); err != nil {
		return err
	}
	s.id++
	if err := s.command(s.stream, "publish", s.id, nil, name, "live"); err != nil {
		return err
	}
	return s.waitStatus("publish", "NetStream.Publish.Start")
}

// play asks for the live stream.
func (s *session) play() error {
	if err := s.control(kindWindowAckSize, ackWindow); err != nil {
		return err
	}
	if err := s.createStream(); err != nil {
		return err
	}
	s.id++
	// Live only, in the milliseconds that clients send though the
	// specification says seconds; -2000 would fall back to a recording (RTMP
	// 1.0, section 7.2.2.1).
	if err := s.command(s.stream, "play", s.id, nil, s.target.stream, -1000); err != nil {
		return err
	}
	b := []byte{0, 3, byte(s.stream >> 24), byte(s.stream >> 16), byte(s.stream >> 8), byte(s.stream), 0, 0, 3, 0xe8}
	if err := s.send(csidControl, kindUserControl, 0, 0, b); err != nil {
		return err
	}
	return s.waitStatus("play", "NetStream.Play.Start")
}

func (s *session) createStream() error {
	result, err := s.call("createStream", nil)
	if err != nil {
		return err
	}
	for _, a := range result.args {
		if id, ok := a.(float64); ok && id >= 0 && id < 1<<32 {
			s.stream = uint32(id)
			return nil
		}
	}
	return protocolError("createStream answered without a stream number")
}

// call sends a command and waits for its answer.
func (s *session) call(name string, object any) (*command, error) {
	s.id++
	id := s.id
	if err := s.command(0, name, id, object); err != nil {
		return nil, fmt.Errorf("rtmp %s: %w", name, err)
	}
	for {
		c, err := s.nextCommand(name)
		if err != nil {
			return nil, err
		}
		_, code, description := c.status()
		switch {
		case c.name == "_result" && c.id == id:
			return c, nil
		case c.name == "_error" && (c.id == id || c.id == 0), c.name == "close":
			return nil, &RefusedError{Stage: name, Code: code, Description: description}
		}
	}
}

// waitStatus waits for the onStatus that says yes or no to publish or play.
func (s *session) waitStatus(stage, start string) error {
	for {
		c, err := s.nextCommand(stage)
		if err != nil {
			return err
		}
		switch c.name {
		case "onStatus":
			if refused, done := s.judge(stage, start, c); refused != nil {
				return refused
			} else if done {
				return nil
			}
		case "_error":
			if c.id == s.id {
				_, code, description := c.status()
				return &RefusedError{Stage: stage, Code: code, Description: description}
			}
		}
	}
}

// judge reads an onStatus by its code; the level is "status" even in refusals
// of some servers.
func (s *session) judge(stage, start string, c *command) (refused *RefusedError, done bool) {
	level, code, description := c.status()
	switch code {
	case start:
		return nil, true
	case "NetStream.Play.Reset", "NetStream.Play.PublishNotify", "NetStream.Data.Start", "NetStream.Publish.Idle",
		"NetStream.Video.DimensionChange", "NetStream.Play.Transition":
		return nil, false
	}
	if level == "error" || badCode(code) {
		return &RefusedError{Stage: stage, Code: code, Description: description}, true
	}
	return nil, false
}

// badCode tells whether a status code ends publishing or playing.
func badCode(code string) bool {
	switch code {
	case "NetStream.Publish.BadName", "NetStream.Publish.Rejected", "NetStream.Publish.Denied",
		"NetStream.Publish.Failed", "NetStream.Unpublish.Success", "NetConnection.Connect.Closed",
		"NetConnection.Connect.Rejected", "NetStream.Play.StreamNotFound", "NetStream.Play.Failed",
		"NetStream.Play.Stop", "NetStream.Play.UnpublishNotify", "NetStream.Play.Complete",
		"NetStream.Authenticate.UsherToken", "NetStream.Failed":
		return true
	}
	return false
}

// nextCommand reads up to the next command. Media that comes before the
// answer to play is kept, within bounds, for the player.
func (s *session) nextCommand(stage string) (*command, error) {
	const most = 64
	for {
		m, err := s.read()
		if err != nil {
			return nil, s.closedIn(stage, err)
		}
		switch m.kind {
		case kindCommand, kindCommandAMF3:
			return decodeCommand(m)
		case kindAudio, kindVideo, kindData, kindDataAMF3:
			if len(s.early) < most {
				s.early = append(s.early, m)
			}
		}
	}
}

// closedIn names the stage in which the connection ended. Servers say no to
// an unknown application or a bad key by closing it.
func (s *session) closedIn(stage string, err error) error {
	if isEnd(err) {
		return &RefusedError{Stage: stage, Description: "connection closed by the server"}
	}
	return fmt.Errorf("rtmp %s: %w", stage, err)
}

// unpublish ends the publishing in good order, within limit.
func (s *session) unpublish(limit time.Duration) {
	s.id++
	_ = s.command(0, "FCUnpublish", s.id, nil, s.target.stream)
	s.id++
	_ = s.command(0, "deleteStream", s.id, nil, s.stream)
	s.flush(limit)
}
