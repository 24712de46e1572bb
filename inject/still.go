package inject

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

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
		Config: [][]byte{s.sps(width, height, rate), stillPPS()},
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
	var w bitWriter
	w.u(8, 66)                               // profile_idc: Baseline
	w.u(8, 0xc0)                             // constraint_set0_flag, constraint_set1_flag: constrained
	w.u(8, stillLevel(s.size.count(), rate)) // level_idc
	w.ue(0)                                  // seq_parameter_set_id
	w.ue(0)                                  // log2_max_frame_num_minus4
	w.ue(2)                                  // pic_order_cnt_type: shown as they are decoded
	w.ue(1)                                  // max_num_ref_frames
	w.u(1, 0)                                // gaps_in_frame_num_value_allowed_flag
	w.ue(uint(s.size.width - 1))             // pic_width_in_mbs_minus1
	w.ue(uint(s.size.height - 1))            // pic_height_in_map_units_minus1
	w.u(1, 1)                                // frame_mbs_only_flag
	w.u(1, 1)                                // direct_8x8_inference_flag
	right, bottom := s.size.width*16-width, s.size.height*16-height
	if right+bottom == 0 {
		w.u(1, 0) // frame_cropping_flag
	} else {
		w.u(1, 1)
		w.ue(0)
		w.ue(uint(right / 2)) // in units of two samples
		w.ue(0)
		w.ue(uint(bottom / 2))
	}
	w.u(1, 0) // vui_parameters_present_flag
	return w.nal(0x67)
}

// stillPPS is a picture parameter set (ITU-T H.264, 7.3.2.2).
func stillPPS() []byte {
	var w bitWriter
	w.ue(0)   // pic_parameter_set_id
	w.ue(0)   // seq_parameter_set_id
	w.u(1, 0) // entropy_coding_mode_flag: CAVLC
	w.u(1, 0) // bottom_field_pic_order_in_frame_present_flag
	w.ue(0)   // num_slice_groups_minus1
	w.ue(0)   // num_ref_idx_l0_default_active_minus1
	w.ue(0)   // num_ref_idx_l1_default_active_minus1
	w.u(1, 0) // weighted_pred_flag
	w.u(2, 0) // weighted_bipred_idc
	w.ue(0)   // pic_init_qp_minus26
	w.ue(0)   // pic_init_qs_minus26
	w.ue(0)   // chroma_qp_index_offset
	w.u(1, 1) // deblocking_filter_control_present_flag
	w.u(1, 0) // constrained_intra_pred_flag
	w.u(1, 0) // redundant_pic_cnt_present_flag
	return w.nal(0x68)
}

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
	var w bitWriter
	w.ue(uint(first)) // first_mb_in_slice
	w.ue(7)           // slice_type: I, as all slices of the picture
	w.ue(0)           // pic_parameter_set_id
	w.u(4, 0)         // frame_num
	w.ue(s.idr)       // idr_pic_id: another than in the one before
	w.u(1, 0)         // no_output_of_prior_pics_flag
	w.u(1, 0)         // long_term_reference_flag
	w.ue(0)           // slice_qp_delta
	w.ue(1)           // disable_deblocking_filter_idc
	w.ue(25)          // mb_type: I_PCM
	w.align()
	w.fill(256, 16)  // luma: black
	w.fill(128, 128) // chroma: none
	for mb := first + 1; mb < end; mb++ {
		w.ue(3) // mb_type: I_16x16_2_0_0, predicted from the mean of what is beside
		w.ue(0) // intra_chroma_pred_mode: the same
		w.ue(0) // mb_qp_delta
		// coeff_token for no coefficients, of the table by the number of those
		// beside (9.2.1): 16 in the macroblock of samples, none elsewhere.
		if s.besides(mb, first) {
			w.u(6, 3)
		} else {
			w.u(1, 1)
		}
	}
	return w.nal(0x65)
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
	var w bitWriter
	w.ue(0)                    // first_mb_in_slice
	w.ue(5)                    // slice_type: P, as all slices of the picture
	w.ue(0)                    // pic_parameter_set_id
	w.u(4, s.number)           // frame_num
	w.u(1, 0)                  // num_ref_idx_active_override_flag
	w.u(1, 0)                  // ref_pic_list_modification_flag_l0
	w.u(1, 0)                  // adaptive_ref_pic_marking_mode_flag
	w.ue(0)                    // slice_qp_delta
	w.ue(1)                    // disable_deblocking_filter_idc
	w.ue(uint(s.size.count())) // mb_skip_run
	return w.nal(0x41)
}

// bitWriter writes the syntax elements of H.264 (7.2, 9.1).
type bitWriter struct {
	b    []byte
	free int // bits in the last byte
}

func (w *bitWriter) u(n int, v uint) {
	for n--; n >= 0; n-- {
		if w.free == 0 {
			w.b = append(w.b, 0)
			w.free = 8
		}
		w.free--
		w.b[len(w.b)-1] |= byte(v>>n&1) << w.free
	}
}

// ue writes an unsigned Exp-Golomb code, which for 0 is the signed one, too.
func (w *bitWriter) ue(v uint) {
	n := 0
	for x := v + 1; x > 1; x >>= 1 {
		n++
	}
	w.u(n, 0)
	w.u(n+1, v+1)
}

func (w *bitWriter) align() { w.free = 0 }

// fill appends n bytes to an aligned writer.
func (w *bitWriter) fill(n int, v byte) {
	for range n {
		w.b = append(w.b, v)
	}
}

// nal ends the payload and returns the NAL unit with its emulation prevention
// bytes (7.4.1.1).
func (w *bitWriter) nal(head byte) []byte {
	w.u(1, 1)
	out := make([]byte, 1, len(w.b)+len(w.b)/16+2)
	out[0] = head
	zeros := 0
	for _, c := range w.b {
		if zeros >= 2 && c <= 3 {
			out = append(out, 3)
			zeros = 0
		}
		if zeros++; c != 0 {
			zeros = 0
		}
		out = append(out, c)
	}
	return out
}
