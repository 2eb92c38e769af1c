#!/usr/bin/env python3
"""How long a packet is in the element: from the payloader before it to the socket behind it.

Publishes audio, then video, to a local stage, with and without congestion control, whose pacing
spreads the packets of a picture on purpose. Needs PyGObject and `cargo build --release`. The
probes only note what passes: to look at it meanwhile would take longer than the element does.
"""

import argparse
import os
import statistics
import struct
import tempfile
import threading
import time

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst

from local_stage import local_stage

SOURCES = {
    "audio": "audiotestsrc is-live=true ! opusenc ! rtpopuspay name=pay",
    "video": (
        "videotestsrc is-live=true pattern=ball ! video/x-raw,width=1280,height=720,framerate=30/1"
        " ! x264enc tune=zerolatency speed-preset=veryfast sliced-threads=false threads=1"
        " key-int-max=60 bitrate=2500 ! video/x-h264,profile=constrained-baseline"
        " ! rtph264pay name=pay mtu=1200 config-interval=-1 aggregate-mode=zero-latency"
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--built", default="target/release", help="folder of plugin and stage")
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    built = os.path.abspath(arguments.built)
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(f"{built}/libgstivs.so", f"{folder}/libgstivs.so")
        os.environ["GST_PLUGIN_PATH"] = folder
        os.environ["GST_REGISTRY"] = f"{folder}/registry"
        Gst.init(None)
        print("| what | congestion-control | packets | median ms | 95 % below ms |")
        print("| --- | --- | --- | --- | --- |")
        for what, source in SOURCES.items():
            for control in ("none", "auto"):
                times = sorted(measure(built, folder, source, control, arguments.seconds))
                late = times[int(len(times) * 0.95)]
                print(f"| {what} | {control} | {len(times)} | {statistics.median(times):.2f} | {late:.2f} |")


def measure(built, folder, source, control, seconds):
    """The milliseconds that each packet was in the element."""
    with local_stage(built, folder) as (stage, endpoint, token):
        # The stage must not wait for a reader.
        threading.Thread(target=stage.stdout.read, daemon=True).start()
        return paired(*publish(endpoint, token, source, control, seconds))


def publish(endpoint, token, source, control, seconds):
    """What came to the element, and what left it."""
    # An encoder above what a session begins with would be lowered.
    sink = f"ivswhipsink name=whip congestion-control={control} start-bitrate=3000000"
    pipeline = Gst.parse_launch(f"{source} ! {sink}")
    whip = pipeline.get_by_name("whip")
    whip.set_property("whip-endpoint", endpoint)
    whip.set_property("auth-token", token)
    came, left = [], []
    watch(pipeline.get_by_name("pay").get_static_pad("src"), came)
    whip.connect("deep-element-added", lambda _, _bin, element: watch_socket(element, left))
    pipeline.set_state(Gst.State.PLAYING)
    time.sleep(seconds)
    pipeline.send_event(Gst.Event.new_eos())
    ends = Gst.MessageType.EOS | Gst.MessageType.ERROR
    message = pipeline.get_bus().timed_pop_filtered(20 * Gst.SECOND, ends)
    pipeline.set_state(Gst.State.NULL)
    if message is None or message.type == Gst.MessageType.ERROR:
        raise SystemExit(message and message.parse_error())
    return came, left


def watch_socket(element, left):
    factory = element.get_factory()
    if factory and factory.get_name() == "nicesink":
        watch(element.get_static_pad("sink"), left)


def watch(pad, seen):
    """Notes the data and the time of what passes."""

    def on_data(_, info):
        lists = info.type & Gst.PadProbeType.BUFFER_LIST
        data = info.get_buffer_list() if lists else info.get_buffer()
        seen.append((data, time.perf_counter()))
        return Gst.PadProbeReturn.OK

    pad.add_probe(Gst.PadProbeType.BUFFER | Gst.PadProbeType.BUFFER_LIST, on_data)


def packets(seen):
    """The time and the RTP timestamp of each RTP packet."""
    for data, now in seen:
        lists = isinstance(data, Gst.BufferList)
        buffers = [data.get(index) for index in range(data.length())] if lists else [data]
        for buffer in buffers:
            head = buffer.extract_dup(0, 8)
            is_rtp = len(head) == 8 and head[0] >> 6 == 2 and not 192 <= head[1] <= 223
            if is_rtp:
                yield now, struct.unpack(">I", head[4:8])[0]


def paired(came, left):
    """The element has timestamps of its own, at a constant distance. What came before the
    session has not left."""
    came, left = list(packets(came)), list(packets(left))
    pairs = list(zip(reversed(came), reversed(left)))
    distances = {(out - into) % 2**32 for (_, into), (_, out) in pairs}
    if len(distances) != 1:
        raise SystemExit(f"{len(came)} packets came and {len(left)} left; they don't pair up.")
    # What was kept for the session is no packet on air.
    pairs = pairs[: len(pairs) * 3 // 4]
    return [1000 * (out - into) for (into, _), (out, _) in pairs]


if __name__ == "__main__":
    main()
