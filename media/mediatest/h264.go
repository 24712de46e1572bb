package mediatest

import (
	"github.com/trunkcast/trunkcast/media"
)

// bits writes the syntax elements of H.264 (ITU-T H.264, 7.2 and 9.1).
type bits struct {
	b    []byte
	free int // bits in the last byte
}

func (w *bits) u(n int, v uint) {
	for n--; n >= 0; n-- {
		if w.free == 0 {
			w.b = append(w.b, 0)
			w.free = 8
		}
		w.free--
		w.b[len(w.b)-1] |= byte(v>>n&1) << w.free
	}
}

// ue writes an unsigned Exp-Golomb code.
func (w *bits) ue(v uint) {
	n := 0
	for x := v + 1; x > 1; x >>= 1 {
		n++
	}
	w.u(n, 0)
	w.u(n+1, v+1)
}

// nal ends the RBSP and returns the NAL unit with its emulation prevention
// bytes (7.4.1.1).
func (w *bits) nal(head byte) []byte {
	w.u(1, 1)
	out := []byte{head}
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

// picture is the size of a coded picture in macroblocks.
type picture struct{ width, height int }

func pictureOf(t *media.Track) picture { return picture{(t.Width + 15) / 16, (t.Height + 15) / 16} }

// H264Track returns a track of constrained baseline profile for pictures of
// that size in luma samples, both even.
func H264Track(width, height int) *media.Track {
	t := &media.Track{Codec: media.H264, ClockRate: media.VideoClockRate, Width: width, Height: height}
	t.Config = [][]byte{sps(t), pps()}
	return t
}

func sps(t *media.Track) []byte {
	p := pictureOf(t)
	var w bits
	w.u(8, 66)   // profile_idc: baseline
	w.u(8, 0xc0) // constraint_set0_flag, constraint_set1_flag
	w.u(8, 40)   // level_idc: 4.0
	w.ue(0)      // seq_parameter_set_id
	w.ue(0)      // log2_max_frame_num_minus4
	w.ue(2)      // pic_order_cnt_type: output order is decoding order
	w.ue(1)      // max_num_ref_frames
	w.u(1, 0)    // gaps_in_frame_num_value_allowed_flag
	w.ue(uint(p.width - 1))
	w.ue(uint(p.height - 1))
	w.u(1, 1) // frame_mbs_only_flag
	w.u(1, 1) // direct_8x8_inference_flag
	right, bottom := p.width*16-t.Width, p.height*16-t.Height
	if right+bottom == 0 {
		w.u(1, 0)
	} else {
		w.u(1, 1) // frame_cropping_flag, in units of two samples
		for _, crop := range [4]int{0, right / 2, 0, bottom / 2} {
			w.ue(uint(crop))
		}
	}
	w.u(1, 0) // vui_parameters_present_flag
	return w.nal(0x67)
}

func pps() []byte {
	var w bits
	w.ue(0)   // pic_parameter_set_id
	w.ue(0)   // seq_parameter_set_id
	w.u(1, 0) // entropy_coding_mode_flag: CAVLC
	w.u(1, 0) // bottom_field_pic_order_in_frame_present_flag
	w.ue(0)   // num_slice_groups_minus1
	w.ue(0)   // num_ref_idx_l0_default_active_minus1
	w.ue(0)   // num_ref_idx_l1_default_active_minus1
	w.u(1, 0) // weighted_pred_flag
	w.u(2, 0) // weighted_bipred_idc
	w.ue(0)   // pic_init_qp_minus26, signed, as the next two
	w.ue(0)   // pic_init_qs_minus26
	w.ue(0)   // chroma_qp_index_offset
	w.u(1, 1) // deblocking_filter_control_present_flag
	w.u(1, 0) // constrained_intra_pred_flag
	w.u(1, 0) // redundant_pic_cnt_present_flag
	return w.nal(0x68)
}

// slice returns a coded picture: a grey one, or one that repeats the last.
func (p picture) slice(key bool, frameNum int) []byte {
	var w bits
	w.ue(0) // first_mb_in_slice
	if key {
		w.ue(7) // slice_type: I
	} else {
		w.ue(5) // P
	}
	w.ue(0)                    // pic_parameter_set_id
	w.u(4, uint(frameNum&0xf)) // frame_num
	if key {
		w.ue(0)   // idr_pic_id
		w.u(1, 0) // no_output_of_prior_pics_flag
		w.u(1, 0) // long_term_reference_flag
	} else {
		w.u(1, 0) // num_ref_idx_active_override_flag
		w.u(1, 0) // ref_pic_list_modification_flag_l0
		w.u(1, 0) // adaptive_ref_pic_marking_mode_flag
	}
	w.ue(0) // slice_qp_delta
	w.ue(1) // disable_deblocking_filter_idc
	if !key {
		w.ue(uint(p.width * p.height)) // mb_skip_run: all of them
		return w.nal(0x41)
	}
	for range p.width * p.height {
		w.ue(3)   // mb_type: I_16x16_2_0_0, DC prediction without coefficients
		w.ue(0)   // intra_chroma_pred_mode: DC
		w.ue(0)   // mb_qp_delta
		w.u(1, 1) // coeff_token: none
	}
	return w.nal(0x65)
}

// filler returns a filler data NAL unit (7.3.2.7) of n bytes, at least 2.
func filler(n int) []byte {
	b := make([]byte, max(n, 2))
	for i := range b {
		b[i] = 0xff
	}
	b[0], b[len(b)-1] = 12, 0x80
	return b
}
