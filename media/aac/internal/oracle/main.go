// Oracle encodes floats from standard input to ADTS on standard output with
// go-aac, for the tables of docs/performance-aac.md:
//
//	oracle CODER RATE CHANNELS BITRATE
//
// The coder is nmr or fast, or one of these with -plain behind it for no noise
// substitution.
package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	goaac "github.com/tphakala/go-aac"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 4 {
		return errors.New("want CODER RATE CHANNELS BITRATE")
	}
	var numbers [3]int
	for i, text := range args[1:] {
		n, err := strconv.Atoi(text)
		if err != nil || n <= 0 {
			return fmt.Errorf("%q is no number", text)
		}
		numbers[i] = n
	}
	coders := map[string]goaac.Coder{"nmr": goaac.CoderNMR, "fast": goaac.CoderFast}
	name, plain := strings.CutSuffix(args[0], "-plain")
	coder, ok := coders[name]
	if !ok {
		return fmt.Errorf("no coder %q", args[0])
	}
	rate, channels := numbers[0], numbers[1]
	e, err := goaac.NewEncoder(goaac.EncoderConfig{
		SampleRate: rate, Channels: channels, Bitrate: numbers[2], Coder: coder, DisablePNS: plain,
	})
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	if err := encode(e, rate, channels, bufio.NewReader(in), w); err != nil {
		return err
	}
	return w.Flush()
}

// encode encodes whole frames, and what the encoder still holds at the end.
func encode(e *goaac.Encoder, rate, channels int, in io.Reader, out io.Writer) error {
	raw := make([]byte, 4*channels*goaac.FrameSize)
	planes := make([][]float32, channels)
	for c := range planes {
		planes[c] = make([]float32, goaac.FrameSize)
	}
	for {
		_, err := io.ReadFull(in, raw)
		input := planes
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			if e.Drained() {
				return nil
			}
			input = nil
		} else if err != nil {
			return err
		}
		for i := range goaac.FrameSize * channels {
			planes[i%channels][i/channels] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		frame, err := e.EncodeFrame(nil, input)
		if err != nil {
			return err
		}
		if len(frame) == 0 {
			continue
		}
		header, err := goaac.AppendADTSHeader(nil, rate, channels, len(frame))
		if err != nil {
			return err
		}
		if _, err := out.Write(append(header, frame...)); err != nil {
			return err
		}
	}
}
