package trunkcast

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/rtpio"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// VideoMismatchError tells that the pictures of a source are not what the
// caller offered to take.
type VideoMismatchError struct {
	// What does not fit: "codec", "profile", "level" or "size".
	What string
	// Source and Caller are what the one has and the other takes.
	Source, Caller string
}

func (e *VideoMismatchError) Error() string {
	how := "encode it for that, or send it all the same"
	if e.What == "codec" {
		how = "encode it so, or play its sound alone"
	}
	return fmt.Sprintf("trunkcast: %s of the source is %s, the caller takes %s: %s", e.What, e.Source, e.Caller, how)
}

// checkCodecs refuses pictures in a codec that the caller does not take,
// before anything is negotiated for them.
func (i *Injection) checkCodecs(tracks []*media.Track) error {
	if i.options.NoVideo {
		return nil
	}
	line := i.session.media.Agreed().Line(sdp.Video)
	for _, t := range tracks {
		if !t.Codec.Video() || line == nil {
			continue // a call without video gets the sound
		}
		if formatOf(line.Send, t.Codec) == nil {
			return &VideoMismatchError{What: "codec", Source: string(t.Codec), Caller: codecNames(line.Send)}
		}
	}
	return nil
}

// checkSource compares the pictures with what the caller stated in its SDP.
func (i *Injection) checkSource(tracks []*media.Track) error {
	if i.options.NoVideo || i.options.Force {
		return nil
	}
	line := i.session.media.Agreed().Line(sdp.Video)
	for _, t := range tracks {
		if !t.Codec.Video() || line == nil {
			continue
		}
		if f := formatOf(line.Send, t.Codec); f != nil && f.H264 != nil {
			if err := checkH264(t, f.H264); err != nil {
				return err
			}
		}
		if f := formatOf(line.Send, t.Codec); f != nil && f.H265 != nil {
			if err := checkH265(t, f.H265); err != nil {
				return err
			}
		}
	}
	return nil
}

// slicesLooked is how many pictures of a file are looked at before it is sent
// to a caller who takes packetization-mode 0 only; those behind them end the
// injection with the error of rtpio.
const slicesLooked = 50

// checkSlices refuses a file whose pictures do not fit the packets of mode 0,
// in which a NAL unit must not be cut (RFC 6184 section 6.2).
func (i *Injection) checkSlices(ctx context.Context, source media.Source) error {
	file, ok := source.(seeker)
	f := i.session.media.SendFormat(sdp.Video)
	if !ok || f == nil || f.H264 == nil || f.H264.PacketizationMode != 0 || i.options.Force || i.options.NoVideo || !hasVideo(source.Tracks()) {
		return nil
	}
	for n := 0; n < slicesLooked; {
		frame, err := source.ReadFrame(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if !frame.Track.Codec.Video() {
			continue
		}
		n++
		for _, nal := range frame.Data {
			if len(nal) > maxNAL {
				return &rtpio.NALTooLargeError{Size: len(nal), Limit: maxNAL}
			}
		}
	}
	_, err := file.Seek(i.options.Start)
	return err
}

// maxNAL is the largest payload of a packet by the default of
// rtpio.Session.MTU: what is a little less may fail yet where it is encrypted.
const maxNAL = 1220

func formatOf(m *sdp.PayloadMap, c media.Codec) *sdp.Format {
	list := m.Formats()
	for k := range list {
		if list[k].Codec == c {
			return &list[k]
		}
	}
	return nil
}

func codecNames(m *sdp.PayloadMap) string {
	var names []string
	for _, f := range m.Formats() {
		if f.Codec != "" {
			names = append(names, string(f.Codec))
		}
	}
	return strings.Join(names, ", ")
}

// h264Level is what a level permits (ITU-T H.264, table A-1).
type h264Level struct {
	idc    int // level_idc; 9 stands for level 1b
	frame  int // MaxFS, macroblocks
	second int // MaxMBPS, macroblocks a second
}

var h264Levels = []h264Level{
	{9, 99, 1485}, {10, 99, 1485}, {11, 396, 3000}, {12, 396, 6000}, {13, 396, 11880}, {20, 396, 11880},
	{21, 792, 19800}, {22, 1620, 20250}, {30, 1620, 40500}, {31, 3600, 108000}, {32, 5120, 216000},
	{40, 8192, 245760}, {41, 8192, 245760}, {42, 8704, 522240}, {50, 22080, 589824}, {51, 36864, 983040},
	{52, 36864, 2073600}, {60, 139264, 4177920}, {61, 139264, 8355840}, {62, 139264, 16711680},
}

func levelOf(idc int) h264Level {
	for _, l := range h264Levels {
		if l.idc >= idc {
			return l
		}
	}
	return h264Levels[len(h264Levels)-1]
}

// checkH264 compares the SPS of a track with profile-level-id and the max-
// parameters (RFC 6184 section 8.1). A caller that stated none is not held to
// the default, level 1: it is mostly a phone that takes more.
func checkH264(t *media.Track, p *sdp.H264Params) error {
	sps := parameterSet(t, func(n []byte) bool { return n[0]&0x1f == 7 })
	if len(sps) < 4 || !p.ProfileStated {
		return nil
	}
	source := uint32(sps[1])<<16 | uint32(sps[2])<<8 | uint32(sps[3])
	if !h264Decodes(p.ProfileLevelID, source) {
		return &VideoMismatchError{What: "profile", Source: h264Profile(source), Caller: h264Profile(p.ProfileLevelID)}
	}
	level := levelOf(h264LevelIDC(p.ProfileLevelID))
	most := max(level.frame, p.MaxFS)
	if n := macroblocks(t); n > most {
		return &VideoMismatchError{What: "size", Source: fmt.Sprintf("%dx%d (%d macroblocks)", t.Width, t.Height, n),
			Caller: fmt.Sprintf("at most %d macroblocks (level %s)", most, levelName(level.idc))}
	}
	if has := h264LevelIDC(source); levelOrder(has) > levelOrder(level.idc) && p.MaxFS == 0 {
		return &VideoMismatchError{What: "level", Source: levelName(has), Caller: "at most " + levelName(level.idc)}
	}
	return nil
}

// levelOrder puts level 1b, which is 9 here, between 1 and 1.1.
func levelOrder(idc int) float64 {
	if idc == 9 {
		return 10.5
	}
	return float64(idc)
}

// h264LevelIDC is the level; constraint_set3_flag with level_idc 11 is level
// 1b in the profiles below High (ITU-T H.264, A.3.4.1).
func h264LevelIDC(id uint32) int {
	profile, constraints, level := id>>16, id>>8&0xff, int(id&0xff)
	if level == 11 && constraints&0x10 != 0 && (profile == 66 || profile == 77 || profile == 88) {
		return 9
	}
	return level
}

func levelName(idc int) string {
	if idc == 9 {
		return "1b"
	}
	return fmt.Sprintf("%d.%d", idc/10, idc%10)
}

func macroblocks(t *media.Track) int { return ((t.Width + 15) / 16) * ((t.Height + 15) / 16) }

// The profiles of H.264 in calls (profile_idc, RFC 6184 table 5).
const (
	h264Baseline = 66
	h264Main     = 77
	h264Extended = 88
	h264High     = 100
)

// constrainedBaseline tells whether a stream is of what every decoder takes.
func constrainedBaseline(id uint32) bool {
	profile, constraints := id>>16, id>>8&0xff
	switch profile {
	case h264Baseline:
		return constraints&0x40 != 0 // constraint_set1_flag
	case h264Main:
		return constraints&0x80 != 0
	case h264Extended:
		return constraints&0xc0 == 0xc0
	}
	return false
}

// h264Decodes tells whether a decoder of the one profile takes the other. Real
// decoders of Baseline lack what it has beyond Constrained Baseline; phones
// write 42001f and mean the latter, and encoders the same.
func h264Decodes(decoder, stream uint32) bool {
	if constrainedBaseline(stream) {
		return true
	}
	d, s := decoder>>16, stream>>16
	switch {
	case d == s:
		return d != h264Baseline || !constrainedBaseline(decoder)
	case s == h264Main:
		return d >= h264High
	case s == h264Baseline || s == h264Extended:
		return false
	default:
		return d > s && d != h264Extended
	}
}

func h264Profile(id uint32) string {
	name := fmt.Sprintf("profile_idc %d", id>>16)
	switch id >> 16 {
	case h264Baseline:
		name = "Baseline"
	case h264Main:
		name = "Main"
	case h264Extended:
		name = "Extended"
	case h264High:
		name = "High"
	case 110:
		name = "High 10"
	case 122:
		name = "High 4:2:2"
	case 244:
		name = "High 4:4:4 Predictive"
	}
	if constrainedBaseline(id) {
		name = "Constrained Baseline"
	}
	return fmt.Sprintf("%s (%06x)", name, id)
}

// checkH265 compares general_profile_idc and general_level_idc of the SPS
// (ITU-T H.265, 7.3.3) with profile-id and level-id (RFC 7798 section 7.1).
func checkH265(t *media.Track, p *sdp.H265Params) error {
	var sps h265.SPS
	if err := sps.Unmarshal(parameterSet(t, func(n []byte) bool { return n[0]>>1&0x3f == 33 })); err != nil {
		return nil // what cannot be read is left to the caller's decoder
	}
	profile, level := int(sps.ProfileTierLevel.GeneralProfileIdc), int(sps.ProfileTierLevel.GeneralLevelIdc)
	if profile > p.ProfileID {
		return &VideoMismatchError{What: "profile", Source: fmt.Sprintf("profile-id %d", profile), Caller: fmt.Sprintf("profile-id %d", p.ProfileID)}
	}
	if level > p.LevelID {
		return &VideoMismatchError{What: "level", Source: fmt.Sprintf("level-id %d", level), Caller: fmt.Sprintf("at most level-id %d", p.LevelID)}
	}
	return nil
}

// parameterSet is the first of the NAL units in the configuration that is.
func parameterSet(t *media.Track, is func(nal []byte) bool) []byte {
	for _, n := range t.Config {
		if len(n) > 0 && is(n) {
			return n
		}
	}
	return nil
}
