package inject

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/trunkcast/trunkcast/internal/h264bits"
	"github.com/trunkcast/trunkcast/media"
)

// Still is a media.Source of black pictures in H.264 Constrained Baseline,
// made without an encoder: each slice of a key frame has one macroblock of
// samples (I_PCM) and the others are predicted from it; between key frames
// everything is skipped. A NAL unit fits a packet, so any caller takes it.
type Still struct {
	track  *media.Track
	size   mbSize
	step   time.Duration
	every  int // pictures between key frames
	n      int // pictures so far
	since  int // pictures since the last key frame
	number uint
	idr    uint
	key    atomic.Bool
	closed atomic.Bool
}

// The bounds of a picture of a Still.
const (
	maxStillSide  = 8192
	stillInterval = 2 * time.Second // between key frames
)

// mbSize is the size of a picture in macroblocks.
type mbSize struct{ width, height int }

func (m mbSize) count() int { return m.width * m.height }

// NewStill returns a source of black pictures of that size in samples, even
// numbers, and rate in pictures a second, 1 to 60. It keeps no pace.
func NewStill(width, height, rate int) (*Still, error) {
	if width < 16 || height < 16 || width > maxStillSide || height > maxStillSide || width%2 != 0 || height%2 != 0 {
		return nil, fmt.Errorf("inject: no still picture of %dx%d", width, height)
	}
	if rate < 1 || rate > 60 {
		return nil, fmt.Errorf("inject: no still picture at a rate of %d", rate)
	}
	s := &Still{
		size: mbSize{(width + 15) / 16, (height + 15) / 16}, step: time.Second / time.Duration(rate),
		every: int(stillInterval/time.Second) * rate,
	}
	s.track = &media.Track{
		Codec: media.H264, ClockRate: media.VideoClockRate, Width: width, Height: height,
		Config: [][]byte{s.sps(width, height, rate), h264bits.PPS()},
	}
	return s, nil
}

// Tracks returns the only track.
func (s *Still) Tracks() []*media.Track { return []*media.Track{s.track} }

// RequestKeyFrame makes the next picture a key frame.
func (s *Still) RequestKeyFrame() { s.key.Store(true) }

// Close ends the source.
func (s *Still) Close() error {
	s.closed.Store(true)
	return nil
}

// ReadFrame makes the next picture.
func (s *Still) ReadFrame(ctx context.Context) (*media.Frame, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.closed.Load() {
		return nil, media.ErrClosed
	}
	at := time.Duration(s.n) * s.step
	key := s.key.Swap(false) || s.n == 0 || s.since >= s.every
	f := &media.Frame{Track: s.track, PTS: at, DTS: at, Key: key}
	if key {
		s.since, s.number, s.idr = 0, 0, s.idr^1
		f.Data = s.keyPicture()
	} else {
		s.number = (s.number + 1) % 16
		f.Data = [][]byte{s.skippedPicture()}
	}
	s.n++
	s.since++
	return f, nil
}

// stillLevels are level_idc and the macroblocks that it permits in a picture
// and a second (ITU-T H.264, table A-1).
var stillLevels = []struct{ idc, frame, second int }{
	{10, 99, 1485}, {11, 396, 3000}, {12, 396, 6000}, {13, 396, 11880}, {21, 792, 19800}, {22, 1620, 20250},
	{30, 1620, 40500}, {31, 3600, 108000}, {32, 5120, 216000}, {40, 8192, 245760}, {42, 8704, 522240},
	{50, 22080, 589824}, {51, 36864, 983040}, {52, 36864, 2073600}, {60, 139264, 4177920},
}

func stillLevel(macroblocks, rate int) uint {
	for _, l := range stillLevels {
		if macroblocks <= l.frame && macroblocks*rate <= l.second {
			return uint(l.idc)
		}
	}
	return 62
}

// sps is a sequence parameter set (ITU-T H.264, 7.3.2.1.1).
func (s *Still) sps(width, height, rate int) []byte {
	var w h264bits.Writer
	w.U(8, 66)                               // profile_idc: Baseline
	w.U(8, 0xc0)                             // constraint_set0_flag, constraint_set1_flag: constrained
	w.U(8, stillLevel(s.size.count(), rate)) // level_idc
	w.UE(0)                                  // seq_parameter_set_id
	w.UE(0)                                  // log2_max_frame_num_minus4
	w.UE(2)                                  // pic_order_cnt_type: shown as they are decoded
	w.UE(1)                                  // max_num_ref_frames
	w.U(1, 0)                                // gaps_in_frame_num_value_allowed_flag
	w.UE(uint(s.size.width - 1))             // pic_width_in_mbs_minus1
	w.UE(uint(s.size.height - 1))            // pic_height_in_map_units_minus1
	w.U(1, 1)                                // frame_mbs_only_flag
	w.U(1, 1)                                // direct_8x8_inference_flag
	right, bottom := s.size.width*16-width, s.size.height*16-height
	if right+bottom == 0 {
		w.U(1, 0) // frame_cropping_flag
	} else {
		w.U(1, 1)
		w.UE(0)
		w.UE(uint(right / 2)) // in units of two samples
		w.UE(0)
		w.UE(uint(bottom / 2))
	}
	w.U(1, 0) // vui_parameters_present_flag
	return w.NAL(0x67)
}

// stillPPS is a picture parameter set (ITU-T H.264, 7.3.2.2).

// sliceMBs is how many macroblocks make a slice of at most 1200 bytes: 384 of
// samples and little more than one for each of the others.
const sliceMBs = 700

func (s *Still) keyPicture() (nals [][]byte) {
	step := sliceMBs / s.size.width * s.size.width
	for first := 0; first < s.size.count(); first += step {
		nals = append(nals, s.keySlice(first, min(first+step, s.size.count())))
	}
	return nals
}

// keySlice is a slice of an IDR picture (ITU-T H.264, 7.3.3 to 7.3.5).
func (s *Still) keySlice(first, end int) []byte {
	var w h264bits.Writer
	w.UE(uint(first)) // first_mb_in_slice
	w.UE(7)           // slice_type: I, as all slices of the picture
	w.UE(0)           // pic_parameter_set_id
	w.U(4, 0)         // frame_num
	w.UE(s.idr)       // idr_pic_id: another than in the one before
	w.U(1, 0)         // no_output_of_prior_pics_flag
	w.U(1, 0)         // long_term_reference_flag
	w.UE(0)           // slice_qp_delta
	w.UE(1)           // disable_deblocking_filter_idc
	w.UE(25)          // mb_type: I_PCM
	w.Align()
	w.Fill(256, 16)  // luma: black
	w.Fill(128, 128) // chroma: none
	for mb := first + 1; mb < end; mb++ {
		w.UE(3) // mb_type: I_16x16_2_0_0, predicted from the mean of what is beside
		w.UE(0) // intra_chroma_pred_mode: the same
		w.UE(0) // mb_qp_delta
		// coeff_token for no coefficients, of the table by the number of those
		// beside (9.2.1): 16 in the macroblock of samples, none elsewhere.
		if s.besides(mb, first) {
			w.U(6, 3)
		} else {
			w.U(1, 1)
		}
	}
	return w.NAL(0x65)
}

// besides tells whether the first macroblock of a slice is the left or upper
// neighbour: with the other one, which has no coefficients, it makes a mean of
// 8 and alone 16; both select the same table.
func (s *Still) besides(mb, first int) bool {
	left := mb%s.size.width != 0 && mb-1 == first
	return left || mb-s.size.width == first
}

// skippedPicture is a P picture as the one before.
func (s *Still) skippedPicture() []byte {
	var w h264bits.Writer
	w.UE(0)                    // first_mb_in_slice
	w.UE(5)                    // slice_type: P, as all slices of the picture
	w.UE(0)                    // pic_parameter_set_id
	w.U(4, s.number)           // frame_num
	w.U(1, 0)                  // num_ref_idx_active_override_flag
	w.U(1, 0)                  // ref_pic_list_modification_flag_l0
	w.U(1, 0)                  // adaptive_ref_pic_marking_mode_flag
	w.UE(0)                    // slice_qp_delta
	w.UE(1)                    // disable_deblocking_filter_idc
	w.UE(uint(s.size.count())) // mb_skip_run
	return w.NAL(0x41)
}
