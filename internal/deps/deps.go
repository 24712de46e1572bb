// Package deps keeps the module list whole while packages are being written.
package deps

import (
	_ "github.com/bluenviron/gortmplib"
	_ "github.com/bluenviron/gortsplib/v4"
	_ "github.com/bluenviron/gortsplib/v4/pkg/format/rtph264"
	_ "github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	_ "github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	_ "github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	_ "github.com/emiago/sipgo/sip"
	_ "github.com/goccy/go-yaml"
	_ "github.com/gotranspile/g722"
	_ "github.com/icholy/digest"
	_ "github.com/minio/minio-go/v7"
	_ "github.com/notedit/rtmp/format/flv/flvio"
	_ "github.com/notedit/rtmp/format/rtmp"
	_ "github.com/pion/rtcp"
	_ "github.com/pion/rtp"
	_ "github.com/pion/sdp/v3"
	_ "github.com/pion/srtp/v3"
	_ "github.com/prometheus/client_golang/prometheus"
	_ "github.com/thesyncim/gopus"
	_ "github.com/tphakala/go-aac"
	_ "github.com/tphakala/go-aac/pcm"
	_ "go.uber.org/goleak"
)
