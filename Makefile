# make test       everything short: lint, race, real peers, fuzzing, cross-builds
# make test-long  the whole matrix, by hand
# make bench      ratios against other programs, into docs/performance.md

PACKAGES = gcc git baresip-core baresip-ffmpeg linphone-cli mediastreamer2-plugin-openh264 xvfb sip-tester \
	kamailio kamailio-tls-modules nginx libnginx-mod-rtmp ffmpeg rtmpdump vlc-bin vlc-plugin-base stunnel4 \
	libvo-aacenc-dev chromium
PEERS = gcc baresip linphonec Xvfb sipp kamailio nginx ffmpeg ffprobe rtmpdump cvlc stunnel4 chromium

# In seconds: of each target, of all, and of each in test-long.
FUZZTIME ?= 10
FUZZTOTAL ?= 120
LONGFUZZ ?= 600
PEERTIME ?= 12m

export GOFLAGS ?=

.PHONY: test test-long bench packages lint unit peers fuzz cross

test: packages lint unit peers fuzz cross
	@echo "make test: all passed"

packages:
	@scripts/packages "$(PEERS)" "$(PACKAGES)"

lint:
	@scripts/lint

unit:
	@scripts/gotest -race ./...

# One package at a time: softphones, ffmpeg and servers of several would share
# two cores, and what the tests measure is in time.
peers:
	@scripts/gotest -tags peers -run '^TestPeer' -p 1 -timeout $(PEERTIME) ./...

fuzz:
	@scripts/fuzz $(FUZZTIME) $(FUZZTOTAL)

cross:
	@for target in linux/arm64 linux/arm darwin/arm64 windows/amd64; do \
		echo "build $$target"; \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} go build ./... || exit 1; \
	done

test-long: packages lint
	@scripts/gotest -race -tags 'peers long' -timeout 4h ./...
	@scripts/fuzz $(LONGFUZZ)
	@echo "make test-long: all passed"

bench:
	@scripts/gotest -tags 'peers bench' -run '^TestBench' -p 1 -timeout 1h ./internal/benchmark ./media/aac
