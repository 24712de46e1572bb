package trunkcast

import (
	"context"
	"fmt"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/rtpio"
	"github.com/trunkcast/trunkcast/media/sdp"
	"github.com/trunkcast/trunkcast/trunk"
)

// Plan is what a [Bridge] does with one call.
type Plan struct {
	// Name is the name of the stream. It must be unique among the calls that
	// run: see SameName.
	Name     string
	SameName SameName
	// Record writes the call to files, by Bridge.Recorder.
	Record bool
	// RecordNotice is played to the caller before Record begins: the URL of a
	// clip (see Bridge.Open) of two minutes at most. A caller who takes no
	// pictures, or none like these, hears it. If it fails, the event NoticeFailed
	// tells, and the recording begins all the same. Default: none.
	RecordNotice string
	// Targets is where the stream goes. More can be added while the call runs.
	Targets []Target
	// Capabilities is what may be negotiated. Default: every codec, both ways.
	Capabilities *sdp.Capabilities
	// Ports gives the sockets for RTP. Default: those of the trunk.
	Ports *rtpio.Ports
	// Latching, MediaTimeout and ForceFeedback are those of [rtpio.Session].
	Latching      rtpio.Latching
	MediaTimeout  time.Duration
	ForceFeedback bool
	// KeyFrameInterval asks for a key frame when the last one is so old, for
	// players that come in the middle. Default: only when one is needed.
	KeyFrameInterval time.Duration
	// StandBy is what the caller sees while nothing is injected, if the agreed
	// direction lets us send: the URL of a clip (see Bridge.Open), played again
	// and again, or StandByBlack. Default: no pictures; silence is sent anyhow.
	StandBy string
	// BlackPictures gives the targets of a call without video black pictures
	// beside its sound: many platforms want some.
	BlackPictures bool
	// JitterMin and JitterMax bound the jitter buffer. Default 40 and 400 ms.
	JitterMin, JitterMax time.Duration
	// PassDamaged gives pictures with missing parts to the targets. Default:
	// the picture stands until a clean one comes.
	PassDamaged bool
	// MaxFreeze passes them on all the same when the picture has stood so
	// long, until a clean one comes. Default: never.
	MaxFreeze time.Duration
	// MaxVideoBitRate in bit/s is told to the caller by TMMBR or REMB where
	// agreed, so that it sends no more than the targets can take. Default: no
	// limit. When RTMP targets drop pictures the caller is told less, and bit
	// by bit more when they do not any more.
	MaxVideoBitRate int
}

// SameName tells what happens to a call whose stream name is in use.
type SameName int

// The policies.
const (
	// SameNameSuffix appends the first of -2, -3, ... that is free.
	SameNameSuffix SameName = iota
	// SameNameRefuse answers 486 Busy Here.
	SameNameRefuse
	// SameNameReplace hangs up the call that has the name.
	SameNameReplace
)

// Target is where a stream is sent to.
type Target struct {
	// Name of the target in events and statistics. Default: the URL without
	// secrets, or the type of Sink.
	Name string
	// URL is an RTMP application such as rtmp://host/live, with the query that
	// its server wants: see rtmp.Publisher.
	URL string
	// StreamName is appended to the URL. Default: the name of the stream.
	StreamName string
	// Sink takes the frames in place of a publisher to URL.
	Sink media.Sink
	// Audio are the codecs that the target takes; the first one is the one to
	// transcode to. Default: AAC to a URL; to a Sink whatever the caller sends.
	Audio []media.Codec
	// Encoder are wishes for that transcoding.
	Encoder media.EncoderOptions
	// NoAudio and NoVideo leave a kind of media away.
	NoAudio, NoVideo bool
	// MaxQueue bounds the bytes that wait for the target, MaxDelay their age.
	// Defaults: those of media.SinkOptions.
	MaxQueue int
	MaxDelay time.Duration
}

// RefusedError, returned by a Bridge.Plan, refuses the call.
type RefusedError struct {
	Code   int    // SIP status, 400 to 699
	Reason string // reason phrase; default: the usual one
	Rule   string // what refused it: in the Warning header, the log and the event
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("trunkcast: call refused with %d: %s", e.Code, e.Rule)
}

// DefaultPlan makes a plan from the trunk's configuration: the stream is named
// by Config.StreamName and published at Config.URL. Programs that choose for
// themselves call it and change what it returns.
func (b *Bridge) DefaultPlan(_ context.Context, c *trunk.Call) (*Plan, error) {
	cfg := c.Trunk().Config()
	template, err := ParseNameTemplate(cfg.StreamName)
	if err != nil {
		return nil, cfg.KeyError("streamName", err)
	}
	caps, err := b.capabilities(cfg)
	if err != nil {
		return nil, err
	}
	p := &Plan{
		Name:          template.Name(valuesOf(c)),
		SameName:      sameNameOf(cfg.SameNumber),
		Capabilities:  caps,
		Ports:         b.portsOf(cfg),
		Latching:      latchingOf(cfg.Latching),
		MediaTimeout:  cfg.MediaTimeout,
		ForceFeedback: cfg.ForceRTCPFeedback,
		Record:        cfg.Record,

		KeyFrameInterval: keyFrameInterval(cfg.KeyFrameInterval),
		JitterMin:        cfg.JitterMin,
		JitterMax:        cfg.JitterMax,
		PassDamaged:      cfg.DamagedVideo == "pass",
		MaxFreeze:        cfg.MaxFreeze,
		MaxVideoBitRate:  cfg.MaxVideoBitRate,
	}
	if cfg.URL != "" {
		p.Targets = []Target{{
			Name: "rtmp", URL: cfg.URL, Audio: audioOf(cfg.Audio),
			Encoder: media.EncoderOptions{BitRate: cfg.AudioBitRate},
		}}
	}
	return p, nil
}

func sameNameOf(s string) SameName {
	switch s {
	case "refuse":
		return SameNameRefuse
	case "replace":
		return SameNameReplace
	default:
		return SameNameSuffix
	}
}

func latchingOf(s string) rtpio.Latching {
	switch s {
	case "on":
		return rtpio.LatchOn
	case "off":
		return rtpio.LatchOff
	default:
		return rtpio.LatchAuto
	}
}

// defaultKeyFrames is what players that come in the middle of a stream wait at
// most for their first picture; many phones send a key frame only when asked.
const defaultKeyFrames = 2 * time.Second

func keyFrameInterval(d time.Duration) time.Duration {
	switch {
	case d == 0:
		return defaultKeyFrames
	case d < 0:
		return 0
	default:
		return d
	}
}

// audioOf are the codecs of an RTMP target by the key "audio". What FLV cannot
// carry (G.722) becomes AAC also with "copy".
func audioOf(s string) []media.Codec {
	switch s {
	case "copy":
		return []media.Codec{media.AAC, media.PCMA, media.PCMU, media.Opus}
	case "opus":
		return []media.Codec{media.Opus}
	default:
		return []media.Codec{media.AAC}
	}
}
