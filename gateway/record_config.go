package gateway

import (
	"errors"
	"time"

	"github.com/trunkcast/trunkcast/internal/yamlfile"
	"github.com/trunkcast/trunkcast/record"
)

// RecordConfig tells how calls are recorded that the trunk's key record, a
// request, or the program wants to be. The zero value works.
type RecordConfig struct {
	// Folder is where files go. Default records in the working directory.
	Folder string
	// Template of their names. Default record.DefaultTemplate.
	Template string
	Rotation record.Rotation
	Format   record.Format
	// PartDuration is what a kill of the program loses at most. Default 1 s.
	PartDuration time.Duration
	// Finalize turns fragmented MP4 into plain MP4 at the end.
	Finalize bool
	// Timezone of the names, such as Europe/Berlin. Default UTC.
	Timezone string
	// Retention removes old files. The zero value keeps all.
	Retention record.Retention
	// Reserve and Warn are those of record.Recorder: bytes that stay free, and
	// the free bytes below which there is a warning.
	Reserve, Warn int64
	// Notice is what callers hear and see before a trunk's key record lets the
	// recording begin: a URL such as vod://notice.mp4. Default: nothing.
	Notice string
	// Hook is a program that is run for each complete file with two arguments:
	// the stream's name and the absolute path.
	Hook string
	// HookTimeout ends a hook that runs longer. Default 1 minute.
	HookTimeout time.Duration
	// Journal is a folder of the jobs on complete files, which go on after a
	// restart. It is for one gateway only. Default: .jobs in Folder where there
	// is something to upload, else none.
	Journal string
	// Upload puts complete files into a bucket.
	Upload UploadConfig
}

// UploadConfig tells where complete files are uploaded to. The zero value
// uploads none.
type UploadConfig struct {
	// Bucket is needed; Prefix stands before the names of objects, which are
	// otherwise those of the files below the folder.
	Bucket, Prefix string
	// S3 tells how to get at it. The zero value: as Config.S3.
	S3 S3Config
	// RemoveLocal removes files once they were uploaded.
	RemoveLocal bool
}

// maxRetention is the longest age of files that can be asked for.
const maxRetention = 100 * 366 * 24 * time.Hour

// fields are the keys of a gateway.yml.
func (c *RecordConfig) fields() map[string]yamlfile.Setter {
	return map[string]yamlfile.Setter{
		"recordFolder":         yamlfile.String(&c.Folder),
		"recordTemplate":       yamlfile.Parsed(&c.Template, parseRecordTemplate),
		"recordRotation":       yamlfile.Parsed(&c.Rotation, record.ParseRotation),
		"recordFormat":         yamlfile.Parsed(&c.Format, record.ParseFormat),
		"recordPartDuration":   yamlfile.Duration(&c.PartDuration, 100*time.Millisecond, time.Minute),
		"recordFinalize":       yamlfile.Bool(&c.Finalize),
		"recordTimezone":       yamlfile.Parsed(&c.Timezone, parseTimezone),
		"recordMaxAge":         yamlfile.Duration(&c.Retention.Age, time.Minute, maxRetention),
		"recordMaxSize":        yamlfile.Parsed(&c.Retention.Size, record.ParseSize),
		"recordReserve":        yamlfile.Parsed(&c.Reserve, parseSpace),
		"recordWarn":           yamlfile.Parsed(&c.Warn, parseSpace),
		"recordNotice":         yamlfile.String(&c.Notice),
		"recordHook":           yamlfile.String(&c.Hook),
		"recordHookTimeout":    yamlfile.Duration(&c.HookTimeout, time.Second, 24*time.Hour),
		"recordJournal":        yamlfile.String(&c.Journal),
		"recordBucket":         yamlfile.String(&c.Upload.Bucket),
		"recordPrefix":         yamlfile.String(&c.Upload.Prefix),
		"recordRemoveUploaded": yamlfile.Bool(&c.Upload.RemoveLocal),
		"recordS3Endpoint":     yamlfile.String(&c.Upload.S3.Endpoint),
		"recordS3Region":       yamlfile.String(&c.Upload.S3.Region),
		"recordS3AccessKey":    yamlfile.String(&c.Upload.S3.AccessKey),
		"recordS3SecretKey":    yamlfile.String(&c.Upload.S3.SecretKey),
		"recordS3PathStyle":    yamlfile.Bool(&c.Upload.S3.PathStyle),
	}
}

// check finds keys that have no effect without another.
func (c *RecordConfig) check() error {
	if u := c.Upload; u.Bucket == "" && u != (UploadConfig{}) {
		return errors.New("recordPrefix, recordRemoveUploaded and recordS3... need recordBucket")
	}
	if c.HookTimeout > 0 && c.Hook == "" {
		return errors.New("recordHookTimeout needs recordHook")
	}
	return nil
}

// parseSpace reads a size such as 20M; 0 is none at all.
func parseSpace(s string) (int64, error) {
	if s == "0" {
		return -1, nil
	}
	n, err := record.ParseSize(s)
	if n == 0 && err == nil {
		n = -1
	}
	return n, err
}

func parseRecordTemplate(s string) (string, error) {
	_, err := record.ParseTemplate(s)
	return s, err
}

func parseTimezone(s string) (string, error) {
	_, err := time.LoadLocation(s)
	return s, err
}
