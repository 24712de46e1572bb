package opus

const (
	// stillAfter is how many packets of silence in a row leave nothing in the
	// codec that another one would change.
	stillAfter = 8
	// stillPacket is the longest packet that can be no more than its first byte
	// and what the range coder needs for the silence flag (RFC 6716 section 4.3).
	stillPacket = 4
	// stillPeak is -200 dB.
	stillPeak = 1e-10
)

// still tells whether the codec is in a steady state of silence: it got the
// same short packet of CELT again and again and made nothing of it. Callers
// who are muted send such.
type still struct {
	packet [stillPacket]byte
	length int
	count  int
}

// again tells whether data would only give silence once more.
func (s *still) again(data []byte) bool {
	return s.count >= stillAfter && len(data) == s.length && string(data) == string(s.packet[:s.length])
}

// decoded takes note of a packet and what it was decoded to.
func (s *still) decoded(data []byte, pcm []float32) {
	const celt, one = 16 << 3, 3 // configurations from 16 on; code of one frame
	if len(data) > stillPacket || data[0] < celt || data[0]&one != 0 || !silent(pcm) {
		s.count = 0
		return
	}
	if len(data) != s.length || string(data) != string(s.packet[:s.length]) {
		s.length, s.count = copy(s.packet[:], data), 0
	}
	s.count++
}

func silent(pcm []float32) bool {
	for _, v := range pcm {
		if v > stillPeak || v < -stillPeak {
			return false
		}
	}
	return true
}
