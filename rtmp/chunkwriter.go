package rtmp

import "encoding/binary"

// Message types (RTMP 1.0, section 5.4 and 7.1).
const (
	kindSetChunkSize  = 1
	kindAbort         = 2
	kindAck           = 3
	kindUserControl   = 4
	kindWindowAckSize = 5
	kindPeerBandwidth = 6
	kindAudio         = 8
	kindVideo         = 9
	kindDataAMF3      = 15
	kindCommandAMF3   = 17
	kindData          = 18
	kindCommand       = 20
	kindAggregate     = 22
)

// Chunk streams on which messages are sent. Each kind keeps to its own.
const (
	csidControl = 2
	csidCommand = 3
	csidAudio   = 4
	csidData    = 5
	csidVideo   = 6
)

// maxTime24 marks, in the 24 bits of a timestamp, that the extended timestamp
// follows (RTMP 1.0, section 5.3.1.3).
const maxTime24 = 0xffffff

// defaultChunk is the chunk size both sides begin with.
const defaultChunk = 128

// chunkWriter appends messages to buf as chunks: a header of type 0 and,
// where the message is longer than a chunk, headers of type 3.
type chunkWriter struct {
	buf  []byte
	size int // payload bytes in a chunk
	left int // of the current chunk
	next [5]byte
	nlen int // bytes of next: the header of type 3, with the extended timestamp if any
}

// begin writes the header of a message of n bytes, which the following calls
// of bytes must give.
func (w *chunkWriter) begin(csid, kind byte, stream, time uint32, n int) {
	t := min(time, maxTime24)
	w.buf = append(w.buf, csid,
		byte(t>>16), byte(t>>8), byte(t),
		byte(n>>16), byte(n>>8), byte(n),
		kind)
	w.buf = binary.LittleEndian.AppendUint32(w.buf, stream)
	w.next[0], w.nlen = 3<<6|csid, 1
	if t == maxTime24 {
		w.buf = binary.BigEndian.AppendUint32(w.buf, time)
		binary.BigEndian.PutUint32(w.next[1:], time)
		w.nlen = 5
	}
	w.left = w.size
}

// bytes appends payload.
func (w *chunkWriter) bytes(p []byte) {
	for len(p) > 0 {
		if w.left == 0 {
			w.buf = append(w.buf, w.next[:w.nlen]...)
			w.left = w.size
		}
		n := min(len(p), w.left)
		w.buf = append(w.buf, p[:n]...)
		p = p[n:]
		w.left -= n
	}
}

// message appends a whole message.
func (w *chunkWriter) message(csid, kind byte, stream, time uint32, payload []byte) {
	w.begin(csid, kind, stream, time, len(payload))
	w.bytes(payload)
}
