#!/usr/bin/env bash
# Installs the Debian packages in a fresh Debian 12, publishes with them as an ordinary
# user, and removes them again. Needs root.
# Usage: test_packages.sh DIRECTORY_OF_DEBS CACHE_DIRECTORY
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source-path=SCRIPTDIR source=chroot.sh
source packaging/chroot.sh

debs=$(realpath "$1")
packages=(gstreamer1.0-ivs ivs-stage)
documents=usr/share/doc/gstreamer1.0-ivs

open_chroot "$2"
mkdir -p "$root/check/scripts" "$root/check/target/debug"
cp scripts/demo.sh "$root/check/scripts/"
cp packaging/check_unit.sh "$root/check/"
cp "$debs"/*.deb "$root/check/"

install_packages() {
    inside apt-get -q update
    # gstreamer1.0-tools is only recommended: an application needs no gst-launch-1.0.
    inside sh -c 'apt-get -q install --yes --no-install-recommends /check/*.deb gstreamer1.0-tools'
    inside sh -c "dpkg --listfiles ${packages[*]}" >"$scratch/files"
}

# Those to the web are left out.
check_links() {
    local page target count=0
    while IFS=: read -r page target; do
        [[ -e $(dirname "$page")/$target ]] || fail "${page#"$root"} links to $target."
        count=$((count + 1))
    done < <(grep -roP --include='*.md' '\]\(\K(?!https:)[^)#]+' "$root/$documents")
    ((count > 100)) || fail "$documents has $count links."
    page=$(inside gst-inspect-1.0 ivswhipsink | sed -n 's|^ *Doc-uri *file://||p')
    [[ -f $root$page ]] || fail "gst-inspect-1.0 names the documentation '$page'."
    echo "test_packages: all $count links of /$documents lead to a file."
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
    unmount_chroot
    timeout 180 systemd-nspawn --quiet --directory="$root" --boot --register=no --keep-unit \
        --console=pipe </dev/null >"$scratch/boot" || fail "systemd: $(tail -n 5 "$scratch/boot")"
    mount_chroot
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

install_packages
check_links
publish
check_unit
remove_packages
echo 'test_packages: all there.'
