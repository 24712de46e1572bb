//go:build peers

package aac

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// An otherEncoder is a program that makes ADTS of samples.
type otherEncoder struct {
	name    string
	program func() (string, error) // path
	args    []string               // in front of rate, channels, bit rate
	format  func([]float32) []byte
	delay   int // samples
}

var otherEncoders = []otherEncoder{
	{"vo-aacenc", voaacenc, nil, toShorts, frameSize + voDelay},
	{"go-aac NMR", oracle, []string{"nmr"}, fromFloats, frameSize},
	{"go-aac fast", oracle, []string{"fast"}, fromFloats, frameSize},
}

// voDelay is by how much vo-aacenc is behind the overlap of the windows.
const voDelay = 576

// voaacenc builds the program in testdata.
var voaacenc = sync.OnceValues(func() (string, error) {
	return buildPeer("gcc", "-O2", "-o", "PROGRAM", "testdata/voaacenc.c", "-lvo-aacenc")
})

// oracle builds the module in internal/oracle.
var oracle = sync.OnceValues(func() (string, error) {
	return buildPeer("go", "build", "-C", "internal/oracle", "-o", "PROGRAM", ".")
})

// built is the folder of programs that were built.
var built = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "aacpeers") })

func TestMain(m *testing.M) {
	code := m.Run()
	if folder, err := built(); err == nil {
		_ = os.RemoveAll(folder)
	}
	os.Exit(code)
}

// buildPeer runs a compiler, and returns the path it was given for PROGRAM.
func buildPeer(command string, args ...string) (string, error) {
	folder, err := built()
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, command)
	for i := range args {
		if args[i] == "PROGRAM" {
			args[i] = path
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, command, args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", command, err, out)
	}
	return path, nil
}

// command is what encodes at a rate.
func (o *otherEncoder) command(t *testing.T, rate, channels, bitRate int) []string {
	t.Helper()
	path, err := o.program()
	if err != nil {
		t.Fatalf("%s: %v", o.name, err)
	}
	line := append([]string{path}, o.args...)
	return append(line, fmt.Sprint(rate), fmt.Sprint(channels), fmt.Sprint(bitRate))
}

// plain is the encoder without noise substitution.
func (o otherEncoder) plain() otherEncoder {
	if len(o.args) > 0 {
		o.args = []string{o.args[0] + "-plain"}
	}
	return o
}

// encode encodes all samples, whole frames, to ADTS.
func (o *otherEncoder) encode(t *testing.T, pcm []float32, rate, channels, bitRate int) []byte {
	t.Helper()
	line := o.command(t, rate, channels, bitRate)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	var out, messages bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(o.format(pcm)), &out, &messages
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", o.name, err, messages.String())
	}
	return out.Bytes()
}

func toShorts(pcm []float32) []byte {
	b := make([]byte, 0, 2*len(pcm))
	for _, v := range pcm {
		b = binary.LittleEndian.AppendUint16(b, uint16(int16(max(-32768, min(32767, v*32768)))))
	}
	return b
}

// TestPeerOtherEncoders decodes what other encoders than ffmpeg's make, and
// compares with ffmpeg's decoder and with the source. Noise substitution is off.
func TestPeerOtherEncoders(t *testing.T) {
	var seen toolsSeen
	for _, o := range otherEncoders {
		o = o.plain()
		for channels := 1; channels <= 2; channels++ {
			for _, rate := range []int{44100, 48000} {
				t.Run(fmt.Sprintf("%s/%dHz/%d", o.name, rate, channels), func(t *testing.T) {
					pcm := allSignals(rate, channels, 10)
					stream := o.encode(t, pcm, rate, channels, 96000*channels)
					got := compareWithFFmpeg(t, stream, Config{SampleRate: rate, Channels: channels}, &seen)
					snr := signalToNoise(pcm, got, o.delay*channels)
					if snr < 6 {
						t.Errorf("%.1f dB of the source, want 6", snr)
					}
				})
			}
		}
	}
	seen.check(t)
	if seen.books[bookOutOfPhase] == 0 {
		t.Error("no intensity stereo out of phase")
	}
}

// coder makes the otherEncoder one of the tables.
func (o otherEncoder) coder() func(*testing.T, []float32, int, int, int) ([][]byte, int) {
	return func(t *testing.T, pcm []float32, rate, channels, bitRate int) ([][]byte, int) {
		// Silence at the end pushes out what the encoder still holds.
		pcm = append(pcm[:len(pcm):len(pcm)], make([]float32, 2*frameSize*channels)...)
		return splitADTS(t, o.encode(t, pcm, rate, channels, bitRate)), o.delay
	}
}
