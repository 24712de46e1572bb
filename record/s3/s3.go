// Package s3 uploads recordings to Amazon S3 and what speaks its protocol.
//
//	finisher := &record.Finisher{Journal: "records/.jobs", RemoveLocal: true,
//		Uploader: &s3.Uploader{Endpoint: "https://s3.example.com", Bucket: "calls", AccessKey: ..., SecretKey: ...}}
//
// It is a package of its own so that programs that do not upload need no
// client for it.
package s3

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/trunkcast/trunkcast/record"
)

// ErrSettings tells that an Uploader cannot work as it is set up.
var ErrSettings = errors.New("s3: bad setting")

// ErrStalled tells that an upload was ended because nothing moved any more.
var ErrStalled = errors.New("s3: no progress")

// Uploader is a record.Uploader. The fields are set before its first use.
type Uploader struct {
	// Endpoint is a URL, or host and port, which means https. Default
	// https://s3.amazonaws.com.
	Endpoint string
	// Bucket must be there.
	Bucket string
	// Prefix stands before the names of files, which are their paths below the
	// recorder's folder: "calls/2026" for example.
	Prefix string
	// Region is asked for if it is empty.
	Region string
	// AccessKey and SecretKey, and SessionToken if need be. Without AccessKey
	// they come from the environment (AWS_ACCESS_KEY_ID...), the AWS
	// credentials file or the machine's role.
	AccessKey, SecretKey, SessionToken string
	// PathStyle puts the bucket into the path rather than the host name. It is
	// chosen by the endpoint otherwise.
	PathStyle bool
	// StorageClass of the objects, "STANDARD_IA" for example. Default: the
	// bucket's.
	StorageClass string
	// PartSize of files that are sent in parts, in bytes. Default 16 MiB, at
	// least 5 MiB.
	PartSize uint64
	// StallTimeout ends an upload of which nothing was taken for so long.
	// Default 1 minute.
	StallTimeout time.Duration
	// Transport replaces the HTTP transport.
	Transport http.RoundTripper

	setup  sync.Once
	client *minio.Client
	err    error
}

const (
	defaultEndpoint = "https://s3.amazonaws.com"
	defaultStall    = time.Minute
	minPartSize     = 5 << 20
	// tries of one request within an upload; more follow from the Finisher.
	tries = 3
	// maxVariants bounds the numbers that are tried for a name in use.
	maxVariants = 1000
	// jobKey is the metadata key that tells our own object from another.
	jobKey = "Trunkcast-Job"
)

// LogValue leaves the secrets out.
func (u *Uploader) LogValue() slog.Value {
	return slog.GroupValue(slog.String("endpoint", u.Endpoint), slog.String("bucket", u.Bucket), slog.String("prefix", u.Prefix))
}

// String leaves the secrets out.
func (u *Uploader) String() string {
	return fmt.Sprintf("s3(%s/%s/%s)", u.Endpoint, u.Bucket, u.Prefix)
}

// Check tells whether the settings can work, without asking the server.
func (u *Uploader) Check() error {
	u.setup.Do(func() { u.client, u.err = u.newClient() })
	return u.err
}

func (u *Uploader) newClient() (*minio.Client, error) {
	endpoint := u.Endpoint
	if endpoint == "" {
		endpoint = defaultEndpoint
	}
	if !strings.Contains(endpoint, "://") {
		endpoint = "https://" + endpoint
	}
	e, err := url.Parse(endpoint)
	switch {
	case err != nil:
		return nil, &settingsError{err}
	case e.Scheme != "http" && e.Scheme != "https", e.Host == "", e.Path != "" && e.Path != "/", e.User != nil:
		return nil, settings("endpoint %q is not http(s)://host[:port]", e.Redacted())
	case u.Bucket == "":
		return nil, settings("no bucket")
	case u.PartSize != 0 && u.PartSize < minPartSize:
		return nil, settings("parts of %d bytes, at least %d", u.PartSize, minPartSize)
	case u.StallTimeout < 0:
		return nil, settings("stall timeout %v", u.StallTimeout)
	case u.AccessKey == "" && u.SecretKey != "":
		return nil, settings("a secret key without access key")
	}
	o := &minio.Options{Creds: u.credentials(), Secure: e.Scheme == "https", Region: u.Region, MaxRetries: tries, Transport: u.Transport}
	if u.PathStyle {
		o.BucketLookup = minio.BucketLookupPath
	}
	c, err := minio.New(e.Host, o)
	if err != nil {
		return nil, &settingsError{err}
	}
	return c, nil
}

func (u *Uploader) credentials() *credentials.Credentials {
	if u.AccessKey != "" {
		return credentials.NewStaticV4(u.AccessKey, u.SecretKey, u.SessionToken)
	}
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{},
	})
}

// settingsError is one that no other try will cure.
type settingsError struct{ err error }

func settings(format string, args ...any) error { return &settingsError{fmt.Errorf(format, args...)} }

func (e *settingsError) Error() string   { return ErrSettings.Error() + ": " + e.err.Error() }
func (e *settingsError) Unwrap() []error { return []error{ErrSettings, e.err} }

// Permanent tells the Finisher not to try again.
func (e *settingsError) Permanent() bool { return true }

// Upload copies the file of a job, as record.Uploader wants it. The object has
// the job's number in its metadata: one that is there with it is the result of
// an earlier try, one without it belongs to somebody else, and the file gets
// the next free name.
func (u *Uploader) Upload(ctx context.Context, j record.Job) (string, error) {
	if err := u.Check(); err != nil {
		return "", err
	}
	if _, err := os.Stat(j.Path); err != nil {
		return "", err
	}
	key := path.Join(strings.Trim(u.Prefix, "/"), j.Key())
	extension := path.Ext(key)
	for i := 1; i <= maxVariants; i++ {
		name := key
		if i > 1 {
			name = fmt.Sprintf("%s_%d%s", strings.TrimSuffix(key, extension), i, extension)
		}
		switch done, err := u.try(ctx, name, j); {
		case err != nil:
			return "", fmt.Errorf("s3: %s: %w", name, err)
		case done:
			return u.location(name), nil
		}
	}
	return "", fmt.Errorf("s3: %s: %w", key, record.ErrNoName)
}

// try uploads under one name; false tells that the name is taken.
func (u *Uploader) try(ctx context.Context, name string, j record.Job) (done bool, err error) {
	taken, ours, err := u.look(ctx, name, j.ID)
	if err != nil || taken {
		return ours, err
	}
	switch err = u.put(ctx, name, j, true); minio.ToErrorResponse(err).Code {
	case minio.PreconditionFailed:
		return false, nil // came between
	case minio.NotImplemented: // the condition is
		err = u.put(ctx, name, j, false)
	}
	return err == nil, err
}

// look tells whether there is an object, and whether it is the job's.
func (u *Uploader) look(ctx context.Context, name, id string) (taken, ours bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, u.stall(), ErrStalled)
	defer cancel()
	info, err := u.client.StatObject(ctx, u.Bucket, name, minio.StatObjectOptions{})
	if err == nil {
		return true, info.UserMetadata[jobKey] == id, nil
	}
	switch minio.ToErrorResponse(err).Code {
	case minio.NoSuchKey:
		return false, false, nil
	case minio.AccessDenied: // who may only write cannot look
		return false, false, nil
	}
	return false, false, cause(ctx, err)
}

func (u *Uploader) stall() time.Duration {
	if u.StallTimeout > 0 {
		return u.StallTimeout
	}
	return defaultStall
}

// cause prefers the reason of a context that is done.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil && err != nil {
		return c
	}
	return err
}

// put sends the file. once refuses to replace an object that is there.
func (u *Uploader) put(ctx context.Context, name string, j record.Job, once bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(u.stall(), func() { cancel(ErrStalled) })
	defer timer.Stop()
	o := minio.PutObjectOptions{
		ContentType:  "video/mp4",
		UserMetadata: map[string]string{jobKey: j.ID},
		PartSize:     u.PartSize,
		StorageClass: u.StorageClass,
		Progress:     &progress{timer, u.stall()},
	}
	if j.Format == record.MPEGTS {
		o.ContentType = "video/mp2t"
	}
	if once {
		o.SetMatchETagExcept("*")
	}
	_, err := u.client.FPutObject(ctx, u.Bucket, name, j.Path, o)
	return cause(ctx, err)
}

// progress moves a deadline on with what is read of the file.
type progress struct {
	timer *time.Timer
	limit time.Duration
}

func (p *progress) Read(b []byte) (int, error) {
	p.timer.Reset(p.limit)
	return len(b), nil
}

func (u *Uploader) location(name string) string {
	return (&url.URL{Scheme: "s3", Host: u.Bucket, Path: "/" + name}).String()
}
