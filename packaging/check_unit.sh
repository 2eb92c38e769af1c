#!/usr/bin/env bash
# Inside the fresh Debian, under its own systemd: runs the commands of the cookbook's
# "A service" against the local stage, stops the unit, and lets the stage tell whether all
# was in order.
set -euo pipefail
cd /check

unit=ivs-publish@studio
page=/usr/share/doc/gstreamer1.0-ivs/docs/cookbook.md

wait_for() {
    local _
    for _ in {1..300}; do
        ! grep -q "$1" events 2>/dev/null || return 0
        sleep 0.1
    done
    echo "the stage never saw: $1"
    journalctl --no-pager -u "$unit"
    return 1
}

ivs-stage serve --key-file key --events events &
stage=$!
wait_for listening

# In place of Amazon IVS, and what a user has before.
mkdir -p "/etc/systemd/system/$unit.service.d"
sed -n 's/.*"endpoint":"\([^"]*\)".*/[Service]\nEnvironment=WHIP_ENDPOINT=\1/p' events \
    >"/etc/systemd/system/$unit.service.d/endpoint.conf"
(umask 077 && ivs-stage token --key-file key >stage-token)

# The last command follows the journal, and has no end.
# shellcheck disable=SC2016 # The backquotes are those of the page.
sed -n '/^## A service$/,/^## /{/^```sh$/,/^```$/{/^```/!p}}' "$page" | tee commands
grep -q "enable --now $unit" commands
bash -e commands &
commands=$!
wait_for '"key_frames":[1-9]'
kill -0 "$commands"
systemctl stop "$unit"
systemctl show --property=Result --property=ExecMainStatus "$unit"
kill "$commands" "$stage"
wait "$stage"
ivs-stage report --require av events
echo 'The unit publishes and stops in order.'
