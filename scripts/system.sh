#!/usr/bin/env bash
# Installs those of the given Debian packages that are missing. Elsewhere it
# only checks that what the build needs is there.
set -euo pipefail

packages=("$@")

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

command -v cargo >/dev/null ||
    fail 'cargo is not installed: get the Rust toolchain (1.92 or newer) from https://rustup.rs.'

is_installed() {
    [[ $(dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

install_missing() {
    local missing=() package
    for package in "${packages[@]}"; do
        is_installed "$package" || missing+=("$package")
    done
    if ((${#missing[@]} == 0)); then
        return
    fi
    echo "Installing system packages: ${missing[*]}"
    local as_root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null ||
            fail 'There is no sudo to install them with. As root, run:' \
                "    apt-get install --no-install-recommends ${missing[*]}"
        as_root=(sudo)
    fi
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
        apt-get -q -o DPkg::Lock::Timeout=120)
    "${apt[@]}" update
    "${apt[@]}" install --yes --no-install-recommends "${missing[@]}"
}

# Names each thing that is not there.
list_lacking() {
    local module element
    command -v cc >/dev/null || echo '    a C compiler: the command cc'
    command -v pkg-config >/dev/null || echo '    the command pkg-config'
    command -v gst-launch-1.0 >/dev/null || echo '    the command gst-launch-1.0'
    for module in gstreamer-{1.0,video-1.0,sdp-1.0,webrtc-1.0}; do
        pkg-config --exists "$module >= 1.22" 2>/dev/null ||
            echo "    the development files of $module, 1.22 or newer"
    done
    pkg-config --exists openssl 2>/dev/null || echo '    the development files of openssl'
    for element in webrtcbin nicesink dtlssrtpenc srtpenc rtpbin rtpfunnel clocksync \
        opusenc rtpopuspay x264enc rtph264pay; do
        gst-inspect-1.0 "$element" >/dev/null 2>&1 || echo "    GStreamer's element $element"
    done
}

if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
    install_missing
else
    lacking=$(list_lacking)
    [[ -z $lacking ]] ||
        fail 'This is no Debian, so nothing is installed by itself. Still lacking:' \
            "$lacking" \
            "On Debian these come with: ${packages[*]}"
fi
