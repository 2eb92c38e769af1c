# `make demo` and `make test` do everything from a fresh Debian 12 with a Rust
# toolchain. What is there already is not installed or built again.

# What the element, its tests and the demo need once they are built.
RUNTIME := \
	ca-certificates gstreamer1.0-tools gstreamer1.0-nice \
	gstreamer1.0-plugins-base gstreamer1.0-plugins-good \
	gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly \
	iproute2 python3

# Every system package that building, testing and the demo need; nowhere else.
PACKAGES := \
	gcc libc6-dev libssl-dev pkg-config \
	libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstreamer-plugins-bad1.0-dev \
	$(RUNTIME) python3-gi gir1.2-gstreamer-1.0 gir1.2-gst-rtsp-server-1.0

# What the tests of the stage's page need besides.
BROWSER := chromium

# What the demo publishes: audio, video, av or rtp. And for how long, in seconds.
# With WATCH=1 until Ctrl-C, with audio and video unless MEDIA says otherwise.
WATCH ?=
MEDIA ?= $(if $(WATCH),av,audio)
DEMO_SECONDS ?= 6

# The lower modules alone, as on a machine without GStreamer.
LOWER := -p gst-plugin-ivs --no-default-features

# What the bench measures: see scripts/bench_uplink.py. Empty is its default.
RUNS ?=
SCENARIO ?=
WHO ?=
FEEDBACK ?=
STEADY ?=
NARROW ?=
AFTER ?=
RANDOM_MINUTES ?=

# Where `make test-deb` keeps a Debian 12 and the packages that it downloaded.
DEB_CACHE ?= target/deb-cache

# Where `make test-matrix` runs, and where it keeps these releases.
RELEASES ?= bookworm trixie sid
MATRIX_CACHE ?= target/matrix-cache

# What the cookbook's stand-ins for cameras, servers and screens need.
COOKBOOK_PACKAGES := \
	libnginx-mod-rtmp nginx-core \
	xvfb pulseaudio gstreamer1.0-x gstreamer1.0-pulseaudio

# What `make mutants` changes.
MUTATED ?= src/whip/** src/ivs/** src/media/**

# How long each fuzz target runs.
SECONDS ?= 60

# How long the soak runs, with how many elements; and the seed of the one to repeat.
MINUTES ?= 60
ELEMENTS ?= 1
SEED ?=

.PHONY: help demo test test-browser test-long soak bench-uplink system build fmt clippy lower doc tests \
	demos deb test-deb test-docs test-matrix lint-packaging cookbook fuzz mutants
# The steps share one target directory and cargo uses every core by itself.
.NOTPARALLEL:

help:
	@echo 'make demo             publish audio to a local stage and say what it saw'
	@echo 'make demo MEDIA=av    the same with audio and video (or MEDIA=video, MEDIA=rtp)'
	@echo 'make demo WATCH=1     keep publishing until Ctrl-C; its page shows picture and numbers'
	@echo 'make test             every check and every test'
	@echo 'make test-browser     the page of the local stage in Chromium, which it installs'
	@echo 'make bench-uplink     what arrives over a narrow or lossy wire (as root; RUNS=3, and'
	@echo '                      SCENARIO and WHO, choose: scripts/bench_uplink.py --help)'
	@echo 'make test-long        the slow proofs, with what they measured (about 40 minutes)'
	@echo 'make soak MINUTES=60  one publisher and a stage with random faults, a line a minute (as root,'
	@echo '                      else nothing is throttled); ELEMENTS=20: so many, in one process;'
	@echo '                      SEED=… repeats one'
	@echo 'make deb              the packages gstreamer1.0-ivs and ivs-stage, in target/debian'
	@echo 'make test-deb         installs, tries and removes them in a fresh Debian 12 (as root;'
	@echo '                      DEB_CACHE=… is where it keeps that)'
	@echo 'make test-docs        the commands of README.md and docs/ as a new user runs them, in a fresh'
	@echo '                      Debian 12 (as root; an hour and a half at first, on two busy cores; later'
	@echo '                      12 minutes: DEB_CACHE=… keeps what it built of the dependencies)'
	@echo 'make test-matrix      the element with the GStreamer of Debian 12, 13 and sid (as root; about'
	@echo '                      15 minutes; RELEASES=sid chooses, MATRIX_CACHE=… keeps them)'
	@echo 'make cookbook         runs the recipes of docs/cookbook.md against a local stage'
	@echo 'make fuzz SECONDS=60  each fuzz target in turn, for that long'
	@echo 'make mutants          which changes of the value modules, texts aside, no unit test'
	@echo '                      notices (hours; MUTATED=src/whip/link_header.rs chooses)'
	@echo 'make lint-packaging   checks the systemd unit, the container recipe and the manifest'
	@echo 'make system           only install the system packages that are missing'

demo: build
	@WATCH="$(WATCH)" scripts/demo.sh "$(MEDIA)" "$(DEMO_SECONDS)"

test: system fmt clippy lower doc tests demos

system:
	@scripts/system.sh $(PACKAGES)

build: system
	cargo build --locked -p gst-plugin-ivs -p ivs-stage --lib --bins

fmt: system
	@cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	cargo fmt --all --check

clippy: system
	@cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked $(LOWER) --lib -- -D warnings

lower: system
	cargo test --locked $(LOWER) --lib -- --skip bandwidth::simulation
	cargo test --locked $(LOWER) --doc

# Each command in the documents is one that `make test-docs` runs or excuses.
doc: system
	scripts/documented_commands.py
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps

tests: system
	cargo test --locked --workspace
	@echo 'Encoders whose settings no test could try here:'
	@cargo test --locked --quiet --workspace --lib -- --show-output every_property_is_one_of_its_encoder \
		| sed -n '/ untried$$/p; / does not take /p; /, without \[".*\]$$/p'

# The README's first commands, and video alone, as a user runs them.
demos: build
	@scripts/demo.sh audio 2
	@scripts/demo.sh video 2
	@scripts/demo.sh av 2
	@scripts/demo.sh rtp 2

# A browser publishes to the local stage, and its page plays it and the element.
test-browser: build
	@scripts/system.sh $(BROWSER)
	cargo test --locked -p ivs-stage --test browser -- --ignored --test-threads=1

# What many starts, reconnects and restarts cost, and that nothing stays.
test-long: build
	cargo test --locked --test long -- --ignored --nocapture --test-threads=1

soak: build
	IVSWHIPSINK_SOAK_MINUTES='$(MINUTES)' IVSWHIPSINK_SOAK_ELEMENTS='$(ELEMENTS)' IVSWHIPSINK_SOAK_SEED='$(SEED)' \
		cargo test --locked --test long -- --ignored --nocapture \
		$(if $(filter 1,$(ELEMENTS)),soak::one::,soak::many::)

# Not a test: it measures, for about half an hour, and needs root.
bench-uplink: build
	@scripts/bench_uplink.py --runs "$(RUNS)" --scenario "$(SCENARIO)" --who "$(WHO)" \
		--random "$(RANDOM_MINUTES)" --feedback "$(FEEDBACK)" --steady "$(STEADY)" --narrow "$(NARROW)" --after "$(AFTER)"

# Debian packages, for the Debian release that this runs on.
deb: system
	@scripts/system.sh dpkg-dev
	@cargo deb --version >/dev/null 2>&1 || cargo install --locked cargo-deb@3.8.0
	IVSWHIPSINK_DOC_URI=file:///usr/share/doc/gstreamer1.0-ivs/README.md \
		cargo build --release --locked -p gst-plugin-ivs -p ivs-stage --lib --bins
	packaging/debian_files.py gst-plugin-ivs gstreamer1.0-ivs target/packaging/gstreamer1.0-ivs
	packaging/debian_files.py ivs-stage ivs-stage target/packaging/ivs-stage
	rm -f target/debian/*.deb
	cargo deb --locked --no-build --multiarch=same -p gst-plugin-ivs
	cargo deb --locked --no-build -p ivs-stage

test-deb: deb
	@scripts/system.sh mmdebstrap systemd-container dpkg-dev
	@cargo cinstall --version >/dev/null 2>&1 || cargo install --locked cargo-c@0.10.21
	packaging/test_packages.sh target/debian "$(DEB_CACHE)"
	packaging/test_cinstall.sh

test-docs: build
	@scripts/system.sh mmdebstrap openssl pulseaudio-utils $(COOKBOOK_PACKAGES)
	packaging/test_docs.sh "$(DEB_CACHE)" "$(COOKBOOK_PACKAGES)"

test-matrix: system
	@scripts/system.sh mmdebstrap
	scripts/test_matrix.sh "$(MATRIX_CACHE)" "$(RUNTIME)" $(RELEASES)

lint-packaging: system
	@scripts/system.sh shellcheck systemd python3-venv
	packaging/lint.sh "$(CURDIR)/target/packaging-lint"

cookbook: build
	@scripts/system.sh $(COOKBOOK_PACKAGES)
	scripts/cookbook.py

# Without a sanitizer, which needs a nightly toolchain, as does the instrumentation itself
# unless RUSTC_BOOTSTRAP lifts that. There is no unsafe code to sanitize.
fuzz: system
	@scripts/system.sh g++
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz@0.13.2
	@for target in answer reply token hosts rtp h264 rtcp uplink redaction stage; do \
		mkdir -p fuzz/corpus/$$target && \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none $$target fuzz/corpus/$$target \
			$$(ls -d fuzz/seeds/* tests/fixtures/* | grep -E "/($$target|$${target}s|$${target%y}ies)$$") \
			-- -max_total_time=$(SECONDS) -max_len=4096 -print_final_stats=1 || exit 1; \
	done

mutants:
	@cargo mutants --version >/dev/null 2>&1 || cargo install --locked cargo-mutants@27.1.0
	cargo mutants --package gst-plugin-ivs $(foreach file,$(MUTATED),--file '$(file)') \
		--exclude-re '>::fmt\b' --no-default-features --cargo-test-arg=--lib --no-shuffle --output target
