package inject

import (
	"context"
	"io"
)

func openFragments(ctx context.Context, r io.ReaderAt, size, off int64, moov []byte, tracks []*mp4Track) (demuxer, error) {
	return nil, formError("fragmented MP4")
}
