package rtpio

import "time"

// ntpEpoch is 1970 in seconds since 1900.
const ntpEpoch = 2_208_988_800

// ntp is t as an NTP timestamp: seconds since 1900 in 32.32 fixed point.
func ntp(t time.Time) uint64 {
	return uint64(t.Unix()+ntpEpoch)<<32 | uint64(t.Nanosecond())<<32/1_000_000_000
}

// roundTrip is the time between our sender report and the report that answers
// it, less what the peer kept it (RFC 3550 section 6.4.1); ok is false for
// values that cannot be.
func roundTrip(now time.Time, lastSenderReport, delay uint32) (d time.Duration, ok bool) {
	if lastSenderReport == 0 {
		return 0, false
	}
	units := int32(uint32(ntp(now)>>16) - lastSenderReport - delay) // of 1/65536 s
	if units < 0 || units > 30<<16 {
		return 0, false
	}
	return time.Duration(units) * time.Second / 65536, true
}
