package sdp

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// Params is a list of format parameters (a=fmtp) in their order. Keys are in
// lower case; a parameter without "=" has its text as Key (telephone-event:
// "0-15").
type Params []Param

// Param is one format parameter.
type Param struct {
	Key, Value string
}

// Get returns the value of the first parameter with that key (lower case).
func (p Params) Get(key string) (string, bool) {
	for _, x := range p {
		if x.Key == key {
			return x.Value, true
		}
	}
	return "", false
}

// H264Params are the parameters of H.264 (RFC 6184 section 8.1).
type H264Params struct {
	// PacketizationMode is 0 if unsaid.
	PacketizationMode int
	// ProfileLevelID is profile_idc, profile-iop and level_idc in 24 bits;
	// 0x42000A (Baseline, level 1) is what RFC 6184 says if it is missing.
	ProfileLevelID uint32
	// ProfileStated tells whether ProfileLevelID was there and readable.
	ProfileStated bool
	// LevelAsymmetry is level-asymmetry-allowed=1.
	LevelAsymmetry bool
	// SPS and PPS are the NAL units of sprop-parameter-sets, without start codes.
	SPS, PPS [][]byte
	// MaxFS is the largest picture in macroblocks and MaxMBPS the highest
	// rate in macroblocks a second that the peer can receive beyond its
	// level; MaxBR the bit rate in units of 1000 bit/s. 0 if unsaid.
	MaxFS, MaxMBPS, MaxBR int
}

// H265Params are the parameters of H.265 (RFC 7798 section 7.1).
type H265Params struct {
	// ProfileID defaults to 1, LevelID to 93 (level 3.1).
	ProfileID, TierFlag, LevelID int
	// VPS, SPS and PPS are the NAL units of sprop-vps, sprop-sps and
	// sprop-pps, without start codes.
	VPS, SPS, PPS [][]byte
	// MaxDONDiff is sprop-max-don-diff: above 0, NAL units carry decoding
	// order numbers.
	MaxDONDiff int
}

// OpusParams are the parameters of Opus (RFC 7587 section 6.1): what their
// writer wants to receive, except SpropStereo, which tells what it may send.
type OpusParams struct {
	Stereo, SpropStereo, UseInbandFEC, UseDTX, CBR bool
	// MaxPlaybackRate in Hz and MaxAverageBitrate in bit/s; 0 if unsaid.
	MaxPlaybackRate, MaxAverageBitrate int
}

// parseParams reads the text of an a=fmtp line behind the payload type.
func parseParams(text string) Params {
	var list Params
	for part := range strings.SplitSeq(text, ";") {
		key, value, _ := strings.Cut(part, "=")
		if key = strings.ToLower(strings.TrimSpace(key)); key != "" {
			list = append(list, Param{Key: key, Value: strings.TrimSpace(value)})
		}
	}
	return list
}

// String is the text of an a=fmtp line behind the payload type.
func (p Params) String() string {
	var b strings.Builder
	for i, x := range p {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteString(x.Key)
		if x.Value != "" {
			b.WriteByte('=')
			b.WriteString(x.Value)
		}
	}
	return b.String()
}

// number is the value of a parameter as a number, otherwise if it is missing,
// not a number or negative.
func (p Params) number(key string, otherwise int) int {
	s, _ := p.Get(key)
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return otherwise
	}
	return int(n)
}

func (p Params) flag(key string) bool { return p.number(key, 0) == 1 }

const defaultProfileLevelID = 0x42000A // RFC 6184 section 8.1

func h264Params(p Params) *H264Params {
	h := &H264Params{
		PacketizationMode: p.number("packetization-mode", 0),
		ProfileLevelID:    defaultProfileLevelID,
		LevelAsymmetry:    p.flag("level-asymmetry-allowed"),
		MaxFS:             p.number("max-fs", 0),
		MaxMBPS:           p.number("max-mbps", 0),
		MaxBR:             p.number("max-br", 0),
	}
	if s, _ := p.Get("profile-level-id"); len(s) == 6 {
		if n, err := strconv.ParseUint(s, 16, 24); err == nil {
			h.ProfileLevelID, h.ProfileStated = uint32(n), true
		}
	}
	for _, nal := range p.nalUnits("sprop-parameter-sets") {
		switch nal[0] & 0x1f { // RFC 6184 section 1.3
		case 7:
			h.SPS = append(h.SPS, nal)
		case 8:
			h.PPS = append(h.PPS, nal)
		}
	}
	return h
}

func h265Params(p Params) *H265Params {
	return &H265Params{
		ProfileID:  p.number("profile-id", 1),
		TierFlag:   p.number("tier-flag", 0),
		LevelID:    p.number("level-id", 93),
		VPS:        p.nalUnits("sprop-vps"),
		SPS:        p.nalUnits("sprop-sps"),
		PPS:        p.nalUnits("sprop-pps"),
		MaxDONDiff: p.number("sprop-max-don-diff", 0),
	}
}

func opusParams(p Params) *OpusParams {
	return &OpusParams{
		Stereo:            p.flag("stereo"),
		SpropStereo:       p.flag("sprop-stereo"),
		UseInbandFEC:      p.flag("useinbandfec"),
		UseDTX:            p.flag("usedtx"),
		CBR:               p.flag("cbr"),
		MaxPlaybackRate:   p.number("maxplaybackrate", 0),
		MaxAverageBitrate: p.number("maxaveragebitrate", 0),
	}
}

// nalUnits reads a list of NAL units in base64; those that are none are left
// out: the stream brings its own.
func (p Params) nalUnits(key string) (list [][]byte) {
	s, _ := p.Get(key)
	for text := range strings.SplitSeq(s, ",") {
		b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(text), "="))
		if err == nil && len(b) > 0 {
			list = append(list, b)
		}
	}
	return list
}
