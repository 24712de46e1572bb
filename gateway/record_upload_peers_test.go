//go:build peers && linux

package gateway_test

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media/mediatest"
	"github.com/trunkcast/trunkcast/record"
	"github.com/trunkcast/trunkcast/record/s3"
)

// sluice forwards connections to a server and lets so many bytes through. It
// speaks TLS to clients, as an S3 does: over plain HTTP a client signs a body in
// chunks, which gofakes3 does not undo in uploads of several parts.
type sluice struct {
	net.Listener
	to string
	wg sync.WaitGroup

	mu     sync.Mutex
	change sync.Cond
	left   int // bytes that may still go to the server; -1: any number
	dry    bool
	conns  []net.Conn
}

func startSluice(t *testing.T, to string) *sluice {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sluice{Listener: tls.NewListener(l, trusted(t)), to: to}
	s.change.L = &s.mu
	s.wg.Go(s.accept)
	t.Cleanup(func() {
		_ = l.Close()
		s.open(-1)
		s.cut()
		s.wg.Wait()
	})
	return s
}

// trusted is a certificate for this host, in which the processes that the test
// starts trust.
func trusted(t *testing.T) *tls.Config {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", file)
	return &tls.Config{Certificates: server.TLS.Certificates}
}

func (s *sluice) accept() {
	for {
		client, err := s.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", s.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		s.mu.Lock()
		s.conns = append(s.conns, client, server)
		s.mu.Unlock()
		s.wg.Go(func() { s.pass(server, client) })
		s.wg.Go(func() {
			_, _ = io.Copy(client, server)
			_ = client.Close()
		})
	}
}

// pass copies to the server as long as the sluice is open.
func (s *sluice) pass(server, client net.Conn) {
	defer func() { _ = server.Close() }()
	b := make([]byte, 32<<10)
	for {
		n, err := client.Read(b)
		if err != nil {
			return
		}
		for done := 0; done < n; {
			m := s.take(n - done)
			if _, err := server.Write(b[done : done+m]); err != nil {
				return
			}
			done += m
		}
	}
}

func (s *sluice) take(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.left == 0 {
		s.dry = true
		s.change.Wait()
	}
	if s.left < 0 {
		return n
	}
	n = min(n, s.left)
	s.left -= n
	return n
}

// open lets n more bytes through.
func (s *sluice) open(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left, s.dry = n, false
	s.change.Broadcast()
}

// stuck waits until something wants to go through a closed sluice.
func (s *sluice) stuck(t testing.TB) {
	t.Helper()
	peertest.Eventually(t, 60*time.Second, "an upload in its middle", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.dry
	})
}

// cut ends all connections.
func (s *sluice) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
}

// bigJob leaves a recording in a folder, with a journal in which its upload is
// to be done, and returns its content.
func bigJob(t testing.TB, folder string) []byte {
	t.Helper()
	f := &record.Finisher{Journal: filepath.Join(folder, ".jobs"), Uploader: &s3.Uploader{Bucket: peertest.S3Bucket, Endpoint: "http://127.0.0.1:1"}}
	r := &record.Recorder{Folder: folder, Template: "big", Finisher: f}
	rec, err := r.Record(record.Info{Stream: "big"}, record.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := mediatest.Feed(t.Context(), rec, mediatest.Merge(24*time.Second, &mediatest.Video{Size: 40_000, KeySize: 80_000})); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); !errors.Is(err, record.ErrPending) {
		t.Fatalf("the job is not pending: %v", err)
	}
	data, err := os.ReadFile(filepath.Join(folder, "big.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestPeerUploadKilled kills the server in the middle of an upload in parts,
// then the gateway in the middle of the next one. The third start of the
// gateway uploads all of it.
func TestPeerUploadKilled(t *testing.T) {
	server, folder := peertest.StartS3(t), t.TempDir()
	way := startSluice(t, server.Addr)
	want := bigJob(t, folder)
	const part = 16 << 20 // of the upload
	if len(want) < part*5/4 {
		t.Fatalf("a file of %d bytes only", len(want))
	}
	config := fmt.Sprintf("recordBucket: %s\nrecordRemoveUploaded: true\nrecordS3Endpoint: https://%s\nrecordS3Region: us-east-1\n"+
		"recordS3AccessKey: key\nrecordS3SecretKey: secret\n", peertest.S3Bucket, way.Addr())

	way.open(part / 2)
	first := startProcess(t, folder, "rtmp://127.0.0.1:1/live", config)
	way.stuck(t)
	server.Kill()
	way.cut()
	first.prints(t, "upload_retry", 1)
	server.Restart()
	way.open(part * 9 / 8) // the first part is there
	way.stuck(t)
	first.Kill()
	way.cut()
	way.open(-1)
	second := startProcess(t, folder, "rtmp://127.0.0.1:1/live", config)
	second.prints(t, "record: removed", 1)

	client, err := minio.New(server.Addr, &minio.Options{Creds: credentials.NewStaticV4("key", "secret", ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for o := range client.ListObjects(t.Context(), peertest.S3Bucket, minio.ListObjectsOptions{Recursive: true}) {
		names = append(names, o.Key)
	}
	if len(names) != 1 || names[0] != "big.mp4" {
		t.Errorf("objects %v", names)
	}
	o, err := client.GetObject(t.Context(), peertest.S3Bucket, "big.mp4", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if got, err := io.ReadAll(o); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the object has %d bytes of %d, or others: %v", len(got), len(want), err)
	}
	if _, err := os.Stat(filepath.Join(folder, "big.mp4")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the local file: %v", err)
	}
}
