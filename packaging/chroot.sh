# shellcheck shell=bash
# A fresh Debian 12 for a test, to be sourced. Needs root.
#
#   open_chroot CACHE_DIRECTORY   sets `cache`, `scratch` and `root`; removed at the exit
#   inside COMMAND…               runs in it, as root, with an environment of its own

fail() {
    echo "${0##*/}: $1" >&2
    exit 1
}

open_chroot() {
    ((EUID == 0)) || fail 'only root can make the chroot.'
    mkdir -p "$1/archives/partial"
    cache=$(realpath "$1")
    scratch=$(mktemp -d "$cache/run-XXXXXX")
    root=$scratch/root
    trap close_chroot EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    make_base
    mkdir "$root"
    tar --extract --file "$cache/bookworm.tar" --directory "$root"
    cp /etc/resolv.conf "$root/etc/"
    # No service is to start in a chroot.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    # Keeps what it downloads for the next run.
    echo 'Binary::apt-get::APT::Keep-Downloaded-Packages "true";' >"$root/etc/apt/apt.conf.d/keep"
    mount_chroot
}

# Made once. To get Debian's updates, remove the file.
make_base() {
    [[ -f $cache/bookworm.tar ]] || {
        mmdebstrap --quiet --variant=apt bookworm "$scratch/bookworm.tar"
        mv "$scratch/bookworm.tar" "$cache/"
    }
}

mount_chroot() {
    mount --bind "$cache/archives" "$root/var/cache/apt/archives"
    mount --bind /dev "$root/dev"
    mount -t proc proc "$root/proc"
}

unmount_chroot() {
    local mounted
    for mounted in "$root"/{var/cache/apt/archives,dev,proc}; do
        ! mountpoint -q "$mounted" || umount "$mounted"
    done
}

close_chroot() {
    unmount_chroot
    rm -rf --one-file-system "$scratch"
}

inside() {
    chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive "$@"
}
