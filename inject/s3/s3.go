// Package s3 plays files of Amazon S3, and of what speaks its protocol, into
// calls, while they come down.
//
//	sources := inject.Mux{"s3": &s3.Opener{Endpoint: "https://s3.example.com", AccessKey: ..., SecretKey: ...}}
//
// It is a package of its own so that programs that do without need no client
// for it.
package s3

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/inject/httpfile"
	"github.com/trunkcast/trunkcast/media"
)

// Opener is an inject.Opener for s3://bucket/key and vod://s3/bucket/key. The
// fields are set before its first use.
type Opener struct {
	// Endpoint is a URL, or host and port, which means https. Default
	// https://s3.amazonaws.com.
	Endpoint string
	// Region is asked for if it is empty.
	Region string
	// AccessKey and SecretKey, and SessionToken if need be. Without AccessKey
	// they come from the environment (AWS_ACCESS_KEY_ID...), the AWS
	// credentials file or the machine's role.
	AccessKey, SecretKey, SessionToken string
	// PathStyle puts the bucket into the path rather than the host name. It is
	// chosen by the endpoint otherwise.
	PathStyle bool
	// Dial makes the connections. Default: a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLS verifies the server. Nil does so by the system's roots.
	TLS *tls.Config
	// File tells how the files are read.
	File inject.FileOptions
	// StallTimeout ends a file of which nothing came for so long. Default 10 s.
	StallTimeout time.Duration

	setup  sync.Once
	client *minio.Client
	files  httpfile.Opener
	err    error
}

const (
	defaultEndpoint = "https://s3.amazonaws.com"
	// signedFor is how long a file may be played: range requests go on until
	// its end, also when it is played again and again.
	signedFor = 7 * 24 * time.Hour // the most that signatures of version 4 allow
	tries     = 3
)

// LogValue leaves the secrets out.
func (o *Opener) LogValue() slog.Value {
	return slog.GroupValue(slog.String("endpoint", o.Endpoint), slog.String("region", o.Region))
}

// String leaves the secrets out.
func (o *Opener) String() string { return fmt.Sprintf("s3(%s)", o.Endpoint) }

func (o *Opener) init() {
	endpoint := o.Endpoint
	if endpoint == "" {
		endpoint = defaultEndpoint
	}
	if !strings.Contains(endpoint, "://") {
		endpoint = "https://" + endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
		o.err = fmt.Errorf("s3: endpoint %q is not a URL of a host", o.Endpoint)
		return
	}
	transport := &http.Transport{DialContext: o.Dial, TLSClientConfig: o.TLS, ForceAttemptHTTP2: true, IdleConnTimeout: 10 * time.Second}
	lookup := minio.BucketLookupAuto
	if o.PathStyle {
		lookup = minio.BucketLookupPath
	}
	o.client, o.err = minio.New(u.Host, &minio.Options{
		Creds: o.credentials(), Secure: u.Scheme == "https", Transport: transport, Region: o.Region,
		BucketLookup: lookup, MaxRetries: tries,
	})
	o.files = httpfile.Opener{Dial: o.Dial, TLS: o.TLS, File: o.File, StallTimeout: o.StallTimeout}
}

func (o *Opener) credentials() *credentials.Credentials {
	if o.AccessKey != "" {
		return credentials.NewStaticV4(o.AccessKey, o.SecretKey, o.SessionToken)
	}
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{},
	})
}

// Open opens an object. One that is not there gives inject.ErrNoSource; for
// the others see httpfile.Opener.
func (o *Opener) Open(ctx context.Context, address string) (media.Source, error) {
	o.setup.Do(o.init)
	if o.err != nil {
		return nil, o.err
	}
	bucket, key, err := parse(address)
	if err != nil {
		return nil, err
	}
	// Signed, it is a file on a web server.
	u, err := o.client.PresignedGetObject(ctx, bucket, key, signedFor, nil)
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	return o.files.Open(ctx, u.String())
}

func parse(address string) (bucket, key string, err error) {
	scheme, rest, _ := strings.Cut(address, "://")
	if !strings.EqualFold(scheme, "s3") {
		rest, _ = strings.CutPrefix(rest, "s3/")
	}
	bucket, key, _ = strings.Cut(rest, "/")
	if key, err = url.PathUnescape(key); err != nil || bucket == "" || key == "" {
		return "", "", fmt.Errorf("%w: an object is s3://bucket/key", inject.ErrNoSource)
	}
	return bucket, key, nil
}

// CloseIdleConnections closes the connections that wait for another request.
func (o *Opener) CloseIdleConnections() {
	o.setup.Do(o.init)
	o.files.CloseIdleConnections()
}
