#!/usr/bin/env python3
"""Compares raw media with the same media encoded by hand: CPU, and the time to the first packet.

Both publish to a local stage of their own, one after the other, so that neither disturbs the
other. Build with `cargo build --release` first; on a busy machine the numbers mean nothing.
"""

import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import tempfile
import time

from local_stage import local_stage

PICTURE = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=1280,height=720,framerate=30/1"
X264 = (
    "x264enc tune=zerolatency speed-preset=veryfast sliced-threads=false threads=1 bframes=0 "
    "b-adapt=false vbv-buf-capacity=300 option-string=scenecut=0 key-int-max=60 bitrate=2500 "
    "! video/x-h264,profile=constrained-baseline,stream-format=byte-stream "
    "! rtph264pay mtu=1200 config-interval=-1 aggregate-mode=zero-latency"
)
SOUND = "audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=1"
OPUS = "opusenc inband-fec=true ! rtpopuspay mtu=1200"
PIPELINES = {
    "raw video": PICTURE,
    "by hand": f"{PICTURE} ! {X264}",
    "raw audio": SOUND,
    "audio by hand": f"{SOUND} ! {OPUS}",
}


def publish(built, pipeline, seconds):
    """Returns the CPU seconds of the publisher, and the milliseconds from PLAYING to the state
    publishing and to the first media packet at the stage."""
    with (
        tempfile.TemporaryDirectory() as folder,
        local_stage(built, folder) as (stage, endpoint, token),
    ):
        os.symlink(f"{built}/libgstivs.so", f"{folder}/libgstivs.so")
        environment = os.environ | {"GST_PLUGIN_PATH": folder, "IVS_STAGE_TOKEN": token}
        words = f"{pipeline} ! ivswhipsink whip-endpoint={endpoint}".split()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        publisher = subprocess.Popen(
            ["gst-launch-1.0", "-e", "-m"] + words,
            env=environment,
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
    publishing = int(publishing[0].split("(guint64)")[1].rstrip(";")) / 1e6
    first = next(event["after_ms"] for event in events if event["event"] == "first_packet")
    return cpu, publishing, first


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--built", default="target/release", help="folder of plugin and stage")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20)
    arguments = parser.parse_args()
    built = os.path.abspath(arguments.built)
    measured = {name: [] for name in PIPELINES}
    for _ in range(arguments.runs):
        for name, pipeline in PIPELINES.items():
            measured[name].append(publish(built, pipeline, arguments.seconds))
    print("| what | CPU s | PLAYING to publishing ms | POST to first packet ms |")
    print("| --- | --- | --- | --- |")
    for name, runs in measured.items():
        cpu, publishing, first = (statistics.median(column) for column in zip(*runs))
        print(f"| {name} | {cpu:.2f} | {publishing:.0f} | {first:.0f} |")


if __name__ == "__main__":
    main()
