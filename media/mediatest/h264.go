package mediatest

import (
	"github.com/trunkcast/trunkcast/internal/h264bits"
	"github.com/trunkcast/trunkcast/media"
)

// picture is the size of a coded picture in macroblocks.
type picture struct{ width, height int }

func pictureOf(t *media.Track) picture { return picture{(t.Width + 15) / 16, (t.Height + 15) / 16} }

// H264Track returns a track of constrained baseline profile for pictures of
// that size in luma samples, both even.
func H264Track(width, height int) *media.Track {
	t := &media.Track{Codec: media.H264, ClockRate: media.VideoClockRate, Width: width, Height: height}
	t.Config = [][]byte{sps(t), h264bits.PPS()}
	return t
}

func sps(t *media.Track) []byte {
	p := pictureOf(t)
	var w h264bits.Writer
	w.U(8, 66)   // profile_idc: baseline
	w.U(8, 0xc0) // constraint_set0_flag, constraint_set1_flag
	w.U(8, 40)   // level_idc: 4.0
	w.UE(0)      // seq_parameter_set_id
	w.UE(0)      // log2_max_frame_num_minus4
	w.UE(2)      // pic_order_cnt_type: output order is decoding order
	w.UE(1)      // max_num_ref_frames
	w.U(1, 0)    // gaps_in_frame_num_value_allowed_flag
	w.UE(uint(p.width - 1))
	w.UE(uint(p.height - 1))
	w.U(1, 1) // frame_mbs_only_flag
	w.U(1, 1) // direct_8x8_inference_flag
	right, bottom := p.width*16-t.Width, p.height*16-t.Height
	if right+bottom == 0 {
		w.U(1, 0)
	} else {
		w.U(1, 1) // frame_cropping_flag, in units of two samples
		for _, crop := range [4]int{0, right / 2, 0, bottom / 2} {
			w.UE(uint(crop))
		}
	}
	w.U(1, 0) // vui_parameters_present_flag
	return w.NAL(0x67)
}

// slice returns a coded picture: a grey one, or one that repeats the last.
func (p picture) slice(key bool, frameNum int) []byte {
	var w h264bits.Writer
	w.UE(0) // first_mb_in_slice
	if key {
		w.UE(7) // slice_type: I
	} else {
		w.UE(5) // P
	}
	w.UE(0)                    // pic_parameter_set_id
	w.U(4, uint(frameNum&0xf)) // frame_num
	if key {
		w.UE(0)   // idr_pic_id
		w.U(1, 0) // no_output_of_prior_pics_flag
		w.U(1, 0) // long_term_reference_flag
	} else {
		w.U(1, 0) // num_ref_idx_active_override_flag
		w.U(1, 0) // ref_pic_list_modification_flag_l0
		w.U(1, 0) // adaptive_ref_pic_marking_mode_flag
	}
	w.UE(0) // slice_qp_delta
	w.UE(1) // disable_deblocking_filter_idc
	if !key {
		w.UE(uint(p.width * p.height)) // mb_skip_run: all of them
		return w.NAL(0x41)
	}
	for range p.width * p.height {
		w.UE(3)   // mb_type: I_16x16_2_0_0, DC prediction without coefficients
		w.UE(0)   // intra_chroma_pred_mode: DC
		w.UE(0)   // mb_qp_delta
		w.U(1, 1) // coeff_token: none
	}
	return w.NAL(0x65)
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
