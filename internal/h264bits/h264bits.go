// Package h264bits writes the syntax elements of H.264 (ITU-T H.264, 7.2 and
// 9.1), for pictures that are made without an encoder.
package h264bits

// Writer collects the bits of a NAL unit's payload. The zero value is ready.
type Writer struct {
	b    []byte
	free int // bits in the last byte
}

// U writes the lowest n bits of v.
func (w *Writer) U(n int, v uint) {
	for n--; n >= 0; n-- {
		if w.free == 0 {
			w.b = append(w.b, 0)
			w.free = 8
		}
		w.free--
		w.b[len(w.b)-1] |= byte(v>>n&1) << w.free
	}
}

// UE writes an unsigned Exp-Golomb code, which for 0 is the signed one, too.
func (w *Writer) UE(v uint) {
	n := 0
	for x := v + 1; x > 1; x >>= 1 {
		n++
	}
	w.U(n, 0)
	w.U(n+1, v+1)
}

// Align fills the last byte with zeros.
func (w *Writer) Align() { w.free = 0 }

// Fill appends n bytes to an aligned writer.
func (w *Writer) Fill(n int, v byte) {
	for range n {
		w.b = append(w.b, v)
	}
}

// NAL ends the payload and returns the NAL unit with its emulation prevention
// bytes (7.4.1.1).
func (w *Writer) NAL(head byte) []byte {
	w.U(1, 1)
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

// PPS is a picture parameter set with the number 0 for the sequence parameter
// set 0: CAVLC, one slice group and reference picture, deblocking by the slice.
func PPS() []byte {
	var w Writer
	w.UE(0)   // pic_parameter_set_id
	w.UE(0)   // seq_parameter_set_id
	w.U(1, 0) // entropy_coding_mode_flag: CAVLC
	w.U(1, 0) // bottom_field_pic_order_in_frame_present_flag
	w.UE(0)   // num_slice_groups_minus1
	w.UE(0)   // num_ref_idx_l0_default_active_minus1
	w.UE(0)   // num_ref_idx_l1_default_active_minus1
	w.U(1, 0) // weighted_pred_flag
	w.U(2, 0) // weighted_bipred_idc
	w.UE(0)   // pic_init_qp_minus26, signed, as the next two
	w.UE(0)   // pic_init_qs_minus26
	w.UE(0)   // chroma_qp_index_offset
	w.U(1, 1) // deblocking_filter_control_present_flag
	w.U(1, 0) // constrained_intra_pred_flag
	w.U(1, 0) // redundant_pic_cnt_present_flag
	return w.NAL(0x68)
}
