package trunk

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestStartFails: what is wrong with one trunk is told, and nothing is left
// open, also where others were all right.
func TestStartFails(t *testing.T) {
	no := false
	good := Config{Name: "good", ListenAddress: "127.0.0.1", ProxyIP: "127.0.0.1", Register: &no}
	bad := good
	bad.Name, bad.TLSCert, bad.TLSKey = "bad", "/does/not/exist.pem", "/does/not/exist.key"
	for name, trunks := range map[string][]Config{"first": {bad, good}, "last": {good, bad}} {
		t.Run(name, func(t *testing.T) {
			s := &Server{Trunks: trunks}
			err := s.Start(context.Background())
			var c *ConfigError
			if !errors.As(err, &c) || c.Trunk != "bad" || !strings.Contains(err.Error(), "/does/not/exist") {
				t.Errorf("Start: %v", err)
			}
			if err := s.Shutdown(context.Background()); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

// TestDoneOfServer tells the end to who did not call ListenAndServe.
func TestDoneOfServer(t *testing.T) {
	no := false
	s := &Server{Trunks: []Config{{Name: "t", ListenAddress: "127.0.0.1", ProxyIP: "127.0.0.1", Register: &no}}}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Done():
		t.Fatal("done while it runs")
	default:
	}
	if s.Err() != nil {
		t.Errorf("Err: %v", s.Err())
	}
	s.stop(errors.New("socket lost"))
	select {
	case <-s.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("not done")
	}
	if err := s.Err(); err == nil || err.Error() != "socket lost" {
		t.Errorf("Err: %v", err)
	}
	s.Close()
}
