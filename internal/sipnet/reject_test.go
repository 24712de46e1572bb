package sipnet

import "testing"

func TestHasTag(t *testing.T) {
	for to, want := range map[string]bool{
		"To: <sip:vintage@h>": false, "To: <sip:a@h;tag=1>": false, "To: \"tag=1\" <sip:a@tag.example>": false,
		"To: sip:tag@h": false, "To: <sip:a@h>;x=tag": false, "To: <sip:a@h>": false,
		"To: <sip:a@h>;tag=1": true, "t: sip:a@h ; TAG=1": true, "To: <sip:a@h>;x=1; tag = 2": true,
	} {
		if got := hasTag(to); got != want {
			t.Errorf("%s: %v", to, got)
		}
	}
}
