//go:build peers && !long

package gateway_test

// loadCalls is how many calls TestPeerLoad makes.
const loadCalls = 60
