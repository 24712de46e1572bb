//go:build peers && linux

package gateway_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/trunk"
)

// TestPeerStandBy shows black pictures to two softphones at once, and has each
// decode them in the size of the pictures that it sends itself.
func TestPeerStandBy(t *testing.T) {
	cfg := gateway.Config{Trunks: []trunk.Config{pbx("")}, RTMPListen: "off", MediaFolder: t.TempDir(), StandBy: trunkcast.StandByBlack}
	g := startGateway(t, cfg, gateway.Options{})
	t.Run("baresip", func(t *testing.T) {
		t.Parallel()
		clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 10, Width: 320, Height: 240})
		phone := peertest.StartBaresip(t, peertest.BaresipOptions{Video: clip.Video})
		phone.Dial(fmt.Sprintf("sip:100@%s", g.addr("pbx")))
		eventually(t, "black pictures of 320x240", func() bool {
			img := phone.Seen()
			mean, deviation := peertest.Luma(img)
			size := img.Bounds().Size()
			return size.X == 320 && size.Y == 240 && mean < 20 && deviation < 2
		})
	})
	t.Run("linphone", func(t *testing.T) {
		t.Parallel()
		phone := peertest.StartLinphone(t, peertest.LinphoneOptions{})
		phone.Dial(fmt.Sprintf("sip:200@%s", g.addr("pbx")))
		eventually(t, "black pictures of 572x468", func() bool { // the size of its still picture
			time.Sleep(200 * time.Millisecond)
			return strings.Contains(phone.Log(), "OpenH264 decoder: Frame size: 572x468")
		})
	})
}
