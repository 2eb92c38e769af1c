#!/usr/bin/env bash
# Runs the element's tests and the demo in several Debian releases, each with its own
# GStreamer, and prints a table. What runs is built once, on Debian 12. Needs root.
# Usage: test_matrix.sh CACHE_DIRECTORY PACKAGES RELEASE...
# In the cache stay the releases as they were when they were first needed (remove one to get
# its updates), and what the tests printed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# In seconds: several times what each takes on two cores.
suite_bound=1800
demo_bound=120

fail() {
    echo "test_matrix: $1" >&2
    exit 1
}

((EUID == 0)) || fail 'only root can make the chroots.'
grep -qx 'VERSION_CODENAME=bookworm' /etc/os-release ||
    fail 'this is no Debian 12: what is built here may not run there.'

mkdir -p "$1"
cache=$(realpath "$1")
packages=$2
releases=("${@:3}")

scratch=$(mktemp -d "$cache/run-XXXXXX")
root=$scratch/root
trap 'rm -rf --one-file-system "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Sets `test_binary`. cargo puts the plugin beside it.
build() {
    cargo build --locked -p gst-plugin-ivs -p ivs-stage --lib --bins
    cargo test --locked -p gst-plugin-ivs --test element --no-run 2>&1 | tee "$scratch/build"
    test_binary=$(sed -n 's/^ *Executable .*(\(.*\))$/\1/p' "$scratch/build")
    [[ -x $test_binary ]] || fail 'cargo names no test binary.'
    built=$(realpath "${CARGO_TARGET_DIR:-target}")/debug
}

# Old snapshots of sid are past the date up to which they are valid.
make_base() {
    local base=$cache/$1.tar
    [[ ! -f $base ]] || return 0
    mmdebstrap --quiet --variant=apt --include="${packages// /,}" \
        --aptopt='Acquire::Check-Valid-Until "false"' "$1" "$scratch/base.tar"
    mv "$scratch/base.tar" "$base"
}

make_root() {
    mkdir "$root"
    tar --extract --file "$cache/$1.tar" --directory "$root" --exclude='./dev/*'
    cp /etc/resolv.conf /etc/hosts "$root/etc/"
    # The tests read these where the sources were when they were built.
    mkdir -p "$root$PWD"
    cp -r docs "$root$PWD/"
    mkdir -p "$root/check/scripts" "$root/check/target/debug"
    cp scripts/demo.sh "$root/check/scripts/"
    cp "$built/ivs-stage" "$built/libgstivs.so" "$root/check/target/debug/"
    mkdir "$root/check/tests"
    cp "$test_binary" "$root/check/tests/element"
    cp "$(dirname "$test_binary")/libgstivs.so" "$root/check/tests/"
}

# In namespaces of its own: no process and no mount outlives it.
inside() {
    # shellcheck disable=SC2016
    unshare --mount --pid --fork --kill-child sh -c '
        mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc" || exit
        chroot "$0" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C.UTF-8 "$@"
        exit $?' "$root" "$@"
}

# Sets the cells of a row. A suite that crashes or hangs leaves them empty.
run_release() {
    local log=$cache/$1-tests.log demo_log=$cache/$1-demo.log summary
    version=$(inside gst-inspect-1.0 --version | sed -n 's/^GStreamer //p')
    echo "test_matrix: GStreamer $version ($1): $log, $demo_log"
    passed=- failed=- ignored=- names='' demo=ok
    ok=yes
    bounded "$suite_bound" /check/tests/element --test-threads 3 >"$log" 2>&1 || ok=''
    summary=$(grep '^test result: ' "$log" | tail -n 1) || names='no end: see its log'
    if [[ $summary =~ ([0-9]+)\ passed\;\ ([0-9]+)\ failed\;\ ([0-9]+)\ ignored ]]; then
        passed=${BASH_REMATCH[1]} failed=${BASH_REMATCH[2]} ignored=${BASH_REMATCH[3]}
        names=$(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log" | sort | paste -sd ' ')
    fi
    bounded "$demo_bound" /check/scripts/demo.sh av 2 >"$demo_log" 2>&1 || demo=failed ok=''
}

# In the foreground, so that Ctrl-C reaches it.
bounded() {
    inside timeout --foreground --kill-after=10 "$@"
}

row() {
    printf '%-10s %-9s %6s %6s %7s  %-6s  %s\n' "$@"
}

build
is_good=yes
table=("$(row GStreamer Debian passed failed ignored demo 'failed tests')")
for release in "${releases[@]}"; do
    make_base "$release"
    make_root "$release"
    run_release "$release"
    [[ -n $ok ]] || is_good=''
    table+=("$(row "$version" "$release" "$passed" "$failed" "$ignored" "$demo" "$names")")
    rm -rf --one-file-system "$root"
done
printf '%s\n' "${table[@]}"
[[ -n $is_good ]] || fail 'not all passed.'
echo 'test_matrix: all passed.'
