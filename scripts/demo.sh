#!/usr/bin/env bash
# Publishes test media to a local stage and prints what the stage saw.
# Usage: demo.sh audio|video|av|rtp [seconds on air]
# rtp is av, encoded and packed by hand. With WATCH=1 in the environment it stays on air
# until Ctrl-C, and says where the stage's page shows it. With DEMO_INSTALLED=yes it takes
# the plugin and the stage that the system has.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

media=${1:-audio}
on_air=${2:-6}
built=$(realpath "${CARGO_TARGET_DIR:-target}")/debug
stage_command=$built/ivs-stage
plugins=$built/demo
if [[ ${DEMO_INSTALLED:-} == yes ]]; then
    stage_command=ivs-stage plugins=''
fi

# Bounds, in seconds, for what takes well under one.
start_bound=20
publish_bound=30
end_bound=15

fail() {
    echo "demo: $1" >&2
    exit 1
}

[[ $media =~ ^(audio|video|av|rtp)$ ]] ||
    fail "MEDIA=$media is not known: use audio, video, av or rtp."
[[ $on_air =~ ^[1-9][0-9]*$ ]] || fail "DEMO_SECONDS=$on_air is no whole number of seconds."

page_option=--no-page
if [[ -n ${WATCH:-} ]]; then
    page_option=--page-port=0
    on_air=$((10 * 365 * 24 * 3600))
fi

scratch=$(mktemp -d)
stage='' launch=''
clean_up() {
    local process
    for process in "$launch" "$stage"; do
        [[ -z $process ]] || kill "$process" 2>/dev/null || true
    done
    wait
    rm -rf "$scratch"
}
trap clean_up EXIT
if [[ -n ${WATCH:-} ]]; then
    trap 'echo; echo "demo: ended."; exit 0' INT
else
    trap 'exit 130' INT
fi
trap 'exit 143' TERM

# Sets `endpoint` and `page`. The stage's first line says that it listens, and where.
start_stage() {
    local listening
    mkfifo "$scratch/stage"
    "$stage_command" serve --key-file "$scratch/key" "$page_option" \
        >"$scratch/stage" 2>"$scratch/stage-errors" &
    stage=$!
    exec 3<"$scratch/stage"
    read -r -t "$start_bound" listening <&3 ||
        fail "the local stage did not start: $(cat "$scratch/stage-errors")"
    [[ $listening =~ \"endpoint\":\"([^\"]+)\" ]] || fail "the local stage says: $listening"
    endpoint=${BASH_REMATCH[1]}
    [[ $listening =~ \"page\":\"([^\"]+)\" ]] && page=${BASH_REMATCH[1]} || page=''
    echo "$listening" >"$scratch/events"
    cat <&3 >>"$scratch/events" &
    recorder=$!
    exec 3<&-
}

stop_stage() {
    kill "$stage" 2>/dev/null || fail 'the local stage ended before the publisher.'
    wait "$stage" || fail 'the local stage failed.'
    stage=''
    wait "$recorder"
}

# Sets `pipeline`.
choose_pipeline() {
    local sink=(ivswhipsink name=whip "whip-endpoint=$endpoint")
    local audio=(audiotestsrc is-live=true wave=ticks)
    local video=(videotestsrc is-live=true pattern=ball
        ! 'video/x-raw,width=640,height=360,framerate=30/1')
    local opus=(! opusenc ! rtpopuspay)
    local h264=(! x264enc tune=zerolatency speed-preset=veryfast bitrate=1000 key-int-max=60
        ! 'video/x-h264,profile=baseline'
        ! rtph264pay config-interval=-1 aggregate-mode=zero-latency)
    case $media in
    audio) pipeline=("${audio[@]}" ! "${sink[@]}") ;;
    video) pipeline=("${video[@]}" ! "${sink[@]}") ;;
    av) pipeline=("${sink[@]}" "${video[@]}" ! whip. "${audio[@]}" ! whip.) ;;
    rtp) pipeline=("${sink[@]}" "${video[@]}" "${h264[@]}" ! whip. "${audio[@]}" "${opus[@]}" ! whip.) ;;
    esac
}

# The token is in the publisher's environment and nowhere else. The plugin is
# linked into a directory of its own, since GStreamer searches all below.
launch() {
    IVS_STAGE_TOKEN=$("$stage_command" token --key-file "$scratch/key") ||
        fail 'no token could be made.'
    export IVS_STAGE_TOKEN
    if [[ -n $plugins ]]; then
        mkdir -p "$plugins"
        ln -sf ../libgstivs.so "$plugins/libgstivs.so"
        export GST_PLUGIN_PATH="$plugins"
    fi
    echo "gst-launch-1.0 -e -m ${pipeline[*]}"
    mkfifo "$scratch/launch"
    gst-launch-1.0 -e -m "${pipeline[@]}" >"$scratch/launch" 2>&1 &
    launch=$!
    exec 4<"$scratch/launch"
}

# Reads the publisher's messages up to its end. Once it has been publishing
# for long enough, stops it as Ctrl-C does: with -e it ends its streams in order.
watch_publisher() {
    local line latency='' stopped='' deadline=$((SECONDS + publish_bound))
    while true; do
        if read -r -t "$((deadline > SECONDS ? deadline - SECONDS : 1))" line <&4; then
            note "$line"
        elif (($? <= 128)); then
            break
        fi
        if ((SECONDS >= deadline)); then
            [[ -n $latency && -z $stopped ]] || complain 'it took too long.'
            stopped=yes
            kill -INT "$launch"
            deadline=$((SECONDS + end_bound))
        fi
    done
    wait "$launch" || complain "gst-launch-1.0 ended with exit code $?."
    launch=''
    [[ -n $latency ]] || complain 'it never published.'
    echo "PLAYING to publishing: $latency ms"
}

# Keeps a message, and looks whether it tells of the session's state.
note() {
    echo "$1" >>"$scratch/messages"
    [[ $1 =~ ivswhipsink-session-state,.*state=\(string\)([a-z]+),.*\(guint64\)([0-9]+) ]] || return 0
    echo "  session is ${BASH_REMATCH[1]}"
    if [[ ${BASH_REMATCH[1]} == publishing && -z $latency ]]; then
        latency=$((BASH_REMATCH[2] / 1000000))
        deadline=$((SECONDS + on_air))
        [[ -z $page ]] || echo "Watch it at $page (Ctrl-C ends it)."
    fi
}

complain() {
    [[ ! -e $scratch/messages ]] || cat "$scratch/messages" >&2
    fail "the publisher failed: $1"
}

start_stage
choose_pipeline
launch
watch_publisher
stop_stage
echo "What the stage saw:"
"$stage_command" report --require "${media/rtp/av}" "$scratch/events" | sed 's/^/  /'
echo "demo: all there."
