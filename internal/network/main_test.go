//go:build peers

package network

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets more calls run at once than there are processors: they are in
// real time and mostly wait. What is measured in time runs before, alone.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "5"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
