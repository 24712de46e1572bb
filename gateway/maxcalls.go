package gateway

import (
	"math"

	"github.com/trunkcast/trunkcast/internal/yamlfile"
)

// maxCalls reads a number of calls of which 0 means no limit, as that of a
// trunk does: in a Config it is a very large one, as its zero is the default.
func maxCalls(p *int) yamlfile.Setter {
	return func(n yamlfile.Node) error {
		err := yamlfile.Int(p, 0, 1_000_000)(n)
		if err == nil && *p == 0 {
			*p = math.MaxInt
		}
		return err
	}
}
