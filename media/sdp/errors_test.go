package sdp

import "testing"

// The text goes into a Warning, for who looks after a PBX.
func TestNothingOffered(t *testing.T) {
	_, err := Match(nil, nil, mustParse(t, "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"))
	if err == nil || err.Error() != "sdp: not acceptable: no media lines in the session description" {
		t.Errorf("%v", err)
	}
}
