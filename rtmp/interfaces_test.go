package rtmp_test

import (
	"io"
	"log/slog"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/rtmp"
)

// What the types are for the packages above.
var (
	_ media.Sink     = (*rtmp.Publisher)(nil)
	_ io.Closer      = (*rtmp.Publisher)(nil)
	_ slog.LogValuer = (*rtmp.Publisher)(nil)
	_ media.Source   = (*rtmp.Player)(nil)
	_ media.Sink     = (*rtmp.StreamSink)(nil)
	_ io.Closer      = (*rtmp.StreamSink)(nil)
	_ media.Source   = (*rtmp.StreamSource)(nil)
)
