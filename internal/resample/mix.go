package resample

// Mix appends src, interleaved samples of from channels, to dst as samples of
// to channels (1 or 2): mono goes to both sides, stereo to mono is the mean of
// both, so that nothing clips. An incomplete sample at the end is ignored.
func Mix(dst, src []float32, from, to int) []float32 {
	switch {
	case from == 1 && to == 2:
		for _, s := range src {
			dst = append(dst, s, s)
		}
		return dst
	case from == 2 && to == 1:
		for i := 0; i+1 < len(src); i += 2 {
			dst = append(dst, (src[i]+src[i+1])/2)
		}
		return dst
	default:
		return append(dst, src...)
	}
}
