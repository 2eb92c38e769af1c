#!/usr/bin/env bash
# Installs the Debian packages in a fresh Debian 12, publishes with them as an ordinary
# user, and removes them again. Needs root.
# Usage: test_packages.sh DIRECTORY_OF_DEBS CACHE_DIRECTORY
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

debs=$(realpath "$1")
mkdir -p "$2/archives/partial"
cache=$(realpath "$2")
base=$cache/bookworm.tar
packages=(gstreamer1.0-ivs ivs-stage)

fail() {
    echo "test_packages: $1" >&2
    exit 1
}

((EUID == 0)) || fail 'only root can make the chroot.'

scratch=$(mktemp -d "$cache/run-XXXXXX")
root=$scratch/root
clean_up() {
    unmount
    rm -rf --one-file-system "$scratch"
}
unmount() {
    local mounted
    for mounted in "$root"/{var/cache/apt/archives,dev,proc}; do
        ! mountpoint -q "$mounted" || umount "$mounted"
    done
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Made once. To get Debian's updates, remove the file.
make_base() {
    [[ -f $base ]] || {
        mmdebstrap --quiet --variant=apt bookworm "$scratch/bookworm.tar"
        mv "$scratch/bookworm.tar" "$base"
    }
}

make_root() {
    mkdir "$root"
    tar --extract --file "$base" --directory "$root"
    cp /etc/resolv.conf "$root/etc/"
    mount_all
    mkdir -p "$root/check/scripts" "$root/check/target/debug"
    cp scripts/demo.sh "$root/check/scripts/"
    cp packaging/check_unit.sh "$root/check/"
    cp "$debs"/*.deb "$root/check/"
    # No service is to start in a chroot.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    # Keeps what it downloads for the next run.
    echo 'Binary::apt-get::APT::Keep-Downloaded-Packages "true";' >"$root/etc/apt/apt.conf.d/keep"
}

mount_all() {
    mount --bind "$cache/archives" "$root/var/cache/apt/archives"
    mount --bind /dev "$root/dev"
    mount -t proc proc "$root/proc"
}

inside() {
    chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive "$@"
}

install_packages() {
    inside apt-get -q update
    # gstreamer1.0-tools is only recommended: an application needs no gst-launch-1.0.
    inside sh -c 'apt-get -q install --yes --no-install-recommends /check/*.deb gstreamer1.0-tools'
    inside sh -c "dpkg --listfiles ${packages[*]}" >"$scratch/files"
}

# Audio needs nothing more; x264enc comes with the recommended packages.
publish() {
    inside runuser -u nobody -- env DEMO_INSTALLED=yes /check/scripts/demo.sh audio 2
    inside apt-get -q install --yes --no-install-recommends gstreamer1.0-plugins-ugly
    inside runuser -u nobody -- env DEMO_INSTALLED=yes /check/scripts/demo.sh av 2
}

# Boots a systemd in namespaces of its own, which runs one service and powers off.
check_unit() {
    inside apt-get -q install --yes --no-install-recommends \
        systemd systemd-sysv dbus libnss-systemd
    cat >"$root/etc/systemd/system/check.service" <<'END'
[Unit]
SuccessAction=poweroff
FailureAction=poweroff
[Service]
Type=oneshot
StandardOutput=file:/check/result
StandardError=inherit
ExecStart=/check/check_unit.sh
END
    mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
    ln -s ../check.service "$root/etc/systemd/system/multi-user.target.wants/"
    unmount
    timeout 180 systemd-nspawn --quiet --directory="$root" --boot --register=no --keep-unit \
        --console=pipe </dev/null >"$scratch/boot" || fail "systemd: $(tail -n 5 "$scratch/boot")"
    mount_all
    cat "$root/check/result"
    grep -q 'The unit publishes and stops in order' "$root/check/result" ||
        fail 'the unit does not work.'
}

remove_packages() {
    local file
    inside apt-get -q purge --yes "${packages[@]}"
    while read -r file; do
        [[ -d $root$file || ! -e $root$file ]] || fail "$file is left behind."
    done <"$scratch/files"
    ! inside gst-inspect-1.0 ivswhipsink >/dev/null 2>&1 || fail 'the element is still there.'
}

make_base
make_root
install_packages
publish
check_unit
remove_packages
echo 'test_packages: all there.'
