#!/usr/bin/env bash
# Installs with cargo-c into a folder of its own, and looks at the result.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
libdir=/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)
plugins=$scratch/root$libdir/gstreamer-1.0

fail() {
    echo "test_cinstall: $1" >&2
    exit 1
}

cargo cinstall --release --locked -p gst-plugin-ivs --prefix=/usr --libdir="$libdir" \
    --destdir="$scratch/root"
(cd "$scratch/root" && find . -type f)

GST_REGISTRY=$scratch/registry GST_PLUGIN_PATH=$plugins gst-inspect-1.0 ivswhipsink >"$scratch/seen"
grep -E 'Filename|Version|License' "$scratch/seen"
grep -q "Filename .*$scratch/root" "$scratch/seen" || fail 'gst-inspect-1.0 shows another plugin.'
PKG_CONFIG_PATH=$(dirname "$(find "$scratch/root" -name gstivs.pc)")
export PKG_CONFIG_PATH
pkg-config --print-errors --modversion gstivs
echo 'test_cinstall: all there.'
