#!/usr/bin/env bash
# Runs the commands of the documents in a fresh Debian 12, as a new user who has a Rust
# toolchain, git and make. Needs root. What is not committed is not tried.
# Usage: test_docs.sh CACHE_DIRECTORY PACKAGES_OF_THE_COOKBOOK
# In the cache stays what the user has built of the dependencies: without its folder
# docs-build all is built anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source-path=SCRIPTDIR source=chroot.sh
source packaging/chroot.sh

command -v rustup >/dev/null || fail 'the user gets the toolchain of rustup, which is not here.'
RUSTUP=$(rustup show home)
export RUSTUP COOKBOOK_PACKAGES=$2

make_user() {
    inside apt-get -q update
    inside apt-get -q install --yes --no-install-recommends sudo git make ca-certificates
    inside useradd --uid 1000 --user-group --create-home --shell /bin/bash user
    echo 'user ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/user"
    git clone --quiet . "$root/source"
    mkdir -p "$root/home/user"/.{cargo,rustup} "$root/check/target" \
        "$cache/docs-build/target" "$cache/docs-build/cargo/bin"
    cp "$(command -v rustup)" "$cache/docs-build/cargo/bin/"
    for name in cargo rustc rustdoc; do
        ln -sf rustup "$cache/docs-build/cargo/bin/$name"
    done
    chown -R 1000:1000 "$root"/{source,check,home/user} "$cache/docs-build"
}

# The names of Amazon IVS and of a camera lead to this machine, with a certificate that
# holds there.
make_network() {
    local authorities=$root/usr/local/share/ca-certificates
    echo "127.0.0.1 localhost $(hostname) camera.example" \
        {global,regional}.whip.live-video.net >"$root/etc/hosts"
    local key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
    openssl req -x509 "${key[@]}" -days 30 -subj /CN=stand-in \
        -keyout "$scratch/ca.key" -out "$authorities/stand-in.crt"
    openssl req "${key[@]}" -subj /CN=whip \
        -keyout "$root/check/tls.key" -out "$scratch/tls.csr"
    openssl x509 -req -in "$scratch/tls.csr" -CA "$authorities/stand-in.crt" \
        -CAkey "$scratch/ca.key" -CAcreateserial -days 30 -out "$root/check/tls.crt" \
        -extfile <(echo 'subjectAltName=DNS:*.whip.live-video.net')
    # Those of this machine, if it is behind a proxy that reads TLS.
    find /usr/local/share/ca-certificates -name '*.crt' -exec cp {} "$authorities/" \;
    inside update-ca-certificates
}

# In namespaces of its own: no process and no mount outlives it.
run_commands() {
    export root cache
    # shellcheck disable=SC2016
    unshare --mount --pid --fork --kill-child bash -ec '
        mount --bind "$cache/docs-build/target" "$root/check/target"
        mount --bind "$cache/docs-build/cargo" "$root/home/user/.cargo"
        mount --bind "$RUSTUP" "$root/home/user/.rustup"
        mount -o remount,bind,ro "$root/home/user/.rustup"
        exec scripts/run_documented_commands.py "$root"'
}

open_chroot "$1"
make_user
make_network
run_commands
