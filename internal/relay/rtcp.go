package relay

import (
	"encoding/binary"
	"time"
)

// RTCP packet types, RFC 3550 section 12.1, and the sizes of section 6.4.
const (
	typeSenderReport   = 200
	typeReceiverReport = 201

	headerSize     = 8  // header and SSRC
	senderInfoSize = 20 // NTP time, RTP time, packets, octets
)

// isRTCP tells RTCP from RTP that shares its port: RFC 5761 section 4.
func isRTCP(packet []byte) bool {
	return len(packet) >= headerSize && packet[0]>>6 == 2 && packet[1] >= 192 && packet[1] <= 223
}

// DropSenderReports makes sender reports into receiver reports, as of a party
// that never tells how its clocks relate.
func DropSenderReports(packet []byte) []byte {
	return eachReport(packet, func(report []byte) []byte {
		blocks := report[headerSize+senderInfoSize:]
		report[1] = typeReceiverReport
		report = append(report[:headerSize], blocks...)
		binary.BigEndian.PutUint16(report[2:], uint16(len(report)/4-1))
		return report
	})
}

// ShiftSenderReports returns a filter that moves the wall clock in sender
// reports by d: video that says it was taken later than it was.
func ShiftSenderReports(d time.Duration) Filter {
	return func(packet []byte) []byte {
		return eachReport(packet, func(report []byte) []byte {
			ntp := binary.BigEndian.Uint64(report[headerSize:])
			binary.BigEndian.PutUint64(report[headerSize:], ntp+ntpDuration(d))
			return report
		})
	}
}

// ntpDuration is d in 2^-32 s, in two's complement.
func ntpDuration(d time.Duration) uint64 {
	whole, rest := d/time.Second, d%time.Second
	return uint64(int64(whole)<<32 + int64(rest)<<32/int64(time.Second))
}

// eachReport applies change to each sender report of a compound packet. What
// is no RTCP, or is cut short, passes as it is.
func eachReport(packet []byte, change func(report []byte) []byte) []byte {
	if !isRTCP(packet) {
		return packet
	}
	var out []byte
	for len(packet) >= headerSize {
		size := 4 * (int(binary.BigEndian.Uint16(packet[2:])) + 1)
		if size > len(packet) {
			break
		}
		part := packet[:size:size]
		packet = packet[size:]
		if part[1] == typeSenderReport && size >= headerSize+senderInfoSize {
			part = change(part)
		}
		out = append(out, part...)
	}
	return append(out, packet...)
}
