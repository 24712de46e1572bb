package sdp

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
