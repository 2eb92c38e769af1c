#!/usr/bin/env python3
"""Compares raw media with the same media encoded by hand: CPU, and the time to the first packet.

All publish to a local stage of their own, one after the other, so that none disturbs another.
Build with `cargo build --release` first; on a busy machine the numbers mean nothing.

Where whipclientsink is installed (GST_PLUGIN_PATH is kept), its sound and picture are compared
too, with its encoder as it comes and with the settings of this element's. That needs PyGObject,
so use the system's Python. A busy machine makes fewer frames: compare CPU where they are equal.
"""

import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from local_stage import local_stage

PICTURE = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=1280,height=720,framerate=30/1"
X264 = (
    "tune=zerolatency speed-preset=veryfast sliced-threads=false threads=1 bframes=0 "
    "b-adapt=false vbv-buf-capacity=300 option-string=scenecut=0 key-int-max=60 bitrate=2500"
)
H264 = (
    f"x264enc {X264} "
    "! video/x-h264,profile=constrained-baseline,stream-format=byte-stream "
    "! rtph264pay mtu=1200 config-interval=-1 aggregate-mode=zero-latency"
)
SOUND = "audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=1"
OPUS = "opusenc inband-fec=true ! rtpopuspay mtu=1200"
PIPELINES = {
    "raw video": PICTURE,
    "by hand": f"{PICTURE} ! {H264}",
    "raw audio": SOUND,
    "audio by hand": f"{SOUND} ! {OPUS}",
}
BOTH = f"{PICTURE} ! whip.video_0 {SOUND} ! whip.audio_0"
RIVAL = (
    "whipclientsink name=whip start-bitrate=2500000 max-bitrate=2500000 stun-server='' "
    "video-caps=video/x-h264,profile=constrained-baseline audio-caps=audio/x-opus"
)
# With the settings of the encoder, if not its own.
SIDE_BY_SIDE = {
    "raw audio and video": (f"{BOTH} ivswhipsink name=whip", ""),
    "whipclientsink, these settings": (f"{BOTH} {RIVAL}", X264),
    "whipclientsink as it comes": (f"{BOTH} {RIVAL}", ""),
}


def commands(has_rival):
    """The commands that publish, by name. They find endpoint and token in the environment."""
    launch = ["gst-launch-1.0", "-e", "-m"]
    rows = {
        name: launch + f"{pipeline} ! ivswhipsink whip-endpoint=$".split()
        for name, pipeline in PIPELINES.items()
    }
    if has_rival:
        for name, (pipeline, settings) in SIDE_BY_SIDE.items():
            rows[name] = [sys.executable, __file__, "--publish", pipeline, "--encoder", settings]
    return rows


def publish(pipeline, settings):
    """Publishes until SIGINT. gst-launch-1.0 can't connect the signal encoder-setup."""
    import gi

    gi.require_version("Gst", "1.0")
    from gi.repository import Gst

    def set_up(_whip, _consumer, _pad, encoder):
        if encoder.get_factory().get_name() != "x264enc":
            return False
        for setting in settings.split():
            Gst.util_set_object_arg(encoder, *setting.split("=", 1))
        return True

    Gst.init(None)
    pipeline = Gst.parse_launch(pipeline)
    whip = pipeline.get_by_name("whip")
    signaller = whip.get_property("signaller") if whip.find_property("signaller") else whip
    signaller.set_property("whip-endpoint", os.environ["ENDPOINT"])
    signaller.set_property("auth-token", os.environ["IVS_STAGE_TOKEN"])
    if settings:
        whip.connect("encoder-setup", set_up)
    signal.signal(signal.SIGINT, lambda *_: pipeline.send_event(Gst.Event.new_eos()))
    pipeline.set_state(Gst.State.PLAYING)
    ends = Gst.MessageType.EOS | Gst.MessageType.ERROR
    message = None
    while message is None:
        # Python handles the signal between two waits.
        message = pipeline.get_bus().timed_pop_filtered(100 * Gst.MSECOND, ends)
    pipeline.set_state(Gst.State.NULL)
    if message.type == Gst.MessageType.ERROR:
        raise SystemExit(message.parse_error())


def measure(built, command, seconds):
    """Returns the CPU seconds of the publisher, the frames that could be decoded at the stage, the
    milliseconds from PLAYING to the state publishing, if it is told, and those from the POST to
    the first media packet at the stage."""
    with (
        tempfile.TemporaryDirectory() as folder,
        local_stage(built, folder) as (stage, endpoint, token),
    ):
        os.symlink(f"{built}/libgstivs.so", f"{folder}/libgstivs.so")
        plugins = ":".join(filter(None, [folder, os.environ.get("GST_PLUGIN_PATH")]))
        environment = {"GST_PLUGIN_PATH": plugins, "ENDPOINT": endpoint, "IVS_STAGE_TOKEN": token}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        publisher = subprocess.Popen(
            [word.replace("endpoint=$", f"endpoint={endpoint}") for word in command],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        time.sleep(seconds)
        publisher.send_signal(signal.SIGINT)
        output = publisher.communicate()[0]
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        stage.send_signal(signal.SIGINT)
        events = [json.loads(line) for line in stage.communicate()[0].splitlines()]
    # The stage counts among the children only once it has been waited for, which is later.
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    publishing = [line for line in output.splitlines() if "(string)publishing" in line]
    publishing = [int(line.split("(guint64)")[1].rstrip(";")) / 1e6 for line in publishing]
    first = [event["after_ms"] for event in events if event["event"] == "first_packet"]
    if not first:
        raise SystemExit(f"{command} did not publish:\n{output}")
    sections = next(event["sections"] for event in events if event["event"] == "ended")
    frames = sum(section["frames"]["decodable"] for section in sections if section["frames"])
    return cpu, frames, (publishing or [None])[0], first[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--built", default="target/release", help="folder of plugin and stage")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--only", help="rows whose name has this text")
    parser.add_argument("--publish", help=argparse.SUPPRESS)
    parser.add_argument("--encoder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.publish:
        return publish(arguments.publish, arguments.encoder)
    built = os.path.abspath(arguments.built)
    # Its plugin has a lower version than GStreamer.
    exists = ["gst-inspect-1.0", "--exists", "--atleast-version=0.0.0", "whipclientsink"]
    has_rival = subprocess.call(exists) == 0
    rows = commands(has_rival)
    measured = {name: [] for name in rows if (arguments.only or "") in name}
    for _ in range(arguments.runs):
        for name, runs in measured.items():
            runs.append(measure(built, rows[name], arguments.seconds))
    print("| what | CPU s | frames | PLAYING to publishing ms | POST to first packet ms |")
    print("| --- | --- | --- | --- | --- |")
    for name, runs in measured.items():
        cpu, frames, publishing, first = zip(*runs)
        told = "–" if None in publishing else f"{statistics.median(publishing):.0f}"
        cpu, frames, first = (statistics.median(column) for column in (cpu, frames, first))
        print(f"| {name} | {cpu:.2f} | {frames:.0f} | {told} | {first:.0f} |")


if __name__ == "__main__":
    main()
