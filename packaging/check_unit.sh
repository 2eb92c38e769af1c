#!/usr/bin/env bash
# Inside the fresh Debian, under its own systemd: starts ivs-publish@.service against the
# local stage, stops it, and lets the stage tell whether all was in order.
set -euo pipefail
cd /check

wait_for() {
    local _
    for _ in {1..300}; do
        ! grep -q "$1" events 2>/dev/null || return 0
        sleep 0.1
    done
    echo "the stage never saw: $1"
    journalctl --no-pager -u ivs-publish@check
    return 1
}

ivs-stage serve --key-file key --events events &
stage=$!
wait_for listening

mkdir -p /etc/ivs-publish
cp /usr/share/doc/gstreamer1.0-ivs/examples/ivs-publish.env /etc/ivs-publish/check.env
sed -n 's/.*"endpoint":"\([^"]*\)".*/WHIP_ENDPOINT=\1/p' events >>/etc/ivs-publish/check.env
(umask 077 && ivs-stage token --key-file key >/etc/ivs-publish/check.token)

systemctl start ivs-publish@check
wait_for '"key_frames":[1-9]'
systemctl stop ivs-publish@check
systemctl show --property=Result --property=ExecMainStatus ivs-publish@check
kill "$stage"
wait "$stage"
ivs-stage report --require av events
echo 'The unit publishes and stops in order.'
