package gateway

import (
	"math"
	"testing"

	"github.com/trunkcast/trunkcast/internal/yamlfile"
)

func TestMaxCalls(t *testing.T) {
	for text, want := range map[string]int{"0": math.MaxInt, "7": 7} {
		got := 0
		root, err := yamlfile.Parse("f", []byte("maxCalls: "+text+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		err = root.Fields(map[string]yamlfile.Setter{"maxCalls": maxCalls(&got)})
		if err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
}
