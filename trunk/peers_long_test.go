//go:build peers && long

package trunk

// sippCalls is how many calls each of the tests with SIPp makes, at 20 a
// second.
const sippCalls = 300
