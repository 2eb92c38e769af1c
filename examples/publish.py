#!/usr/bin/env python3
"""Publishes a test picture and tone, and tells how it goes.

    IVS_STAGE_TOKEN=… python3 examples/publish.py [ENDPOINT]

The endpoint defaults to Amazon IVS. Ctrl-C and SIGTERM stop the program. If the variable
IVS_TOKEN_COMMAND is set, its command prints a new token when one is needed. Debian:
python3-gi, gir1.2-gstreamer-1.0 and what the plugin needs.
"""

import os
import shlex
import signal
import subprocess
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

# For a camera and a microphone: autovideosrc and autoaudiosrc. The element encodes.
PIPELINE = """
    videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=30/1
        ! queue ! whip.
    audiotestsrc is-live=true ! queue ! whip.
    ivswhipsink name=whip"""


class Publisher:
    def __init__(self, endpoint):
        self.failed = False
        self.loop = GLib.MainLoop()
        self.pipeline = Gst.parse_launch(PIPELINE)
        # Reads the token from IVS_STAGE_TOKEN: other users could see it in the arguments.
        self.sink = self.pipeline.get_by_name("whip")
        if endpoint:
            self.sink.set_property("whip-endpoint", endpoint)
        if "IVS_TOKEN_COMMAND" in os.environ:
            self.sink.connect("request-token", fetch_token)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message", self.on_message)

    def run(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, number, self.stop)
        GLib.timeout_add_seconds(1, self.print_statistics)
        # If it fails, the reason is on the bus.
        self.pipeline.set_state(Gst.State.PLAYING)
        self.loop.run()
        # Deletes a session that is left, and waits for that, at most 3 seconds.
        self.pipeline.set_state(Gst.State.NULL)
        return 1 if self.failed else 0

    def stop(self):
        # The element deletes its session and posts EOS. The wait for that has a limit,
        # since a source that is stuck passes no end of stream on.
        self.pipeline.send_event(Gst.Event.new_eos())
        GLib.timeout_add_seconds(10, self.loop.quit)
        return GLib.SOURCE_CONTINUE

    def on_message(self, _bus, message):
        structure = message.get_structure()
        if message.type == Gst.MessageType.ELEMENT:
            if structure.get_name() == "ivswhipsink-session-state":
                print(f"The session is {structure.get_string('state')}.", flush=True)
        elif message.type == Gst.MessageType.WARNING:
            # Failures among them are no reason to stop: the element tries again.
            print("Warning:", message.parse_warning()[0].message, file=sys.stderr)
        elif message.type == Gst.MessageType.ERROR:
            print("Error:", message.parse_error()[0].message, file=sys.stderr)
            self.failed = True
            self.loop.quit()
        elif message.type == Gst.MessageType.EOS:
            self.loop.quit()

    def print_statistics(self):
        # A field that is not known yet is absent, and get_value gives None.
        stats = self.sink.get_property("stats")
        packets, rate = stats.get_value("audio-packets"), stats.get_value("video-bit-rate")
        if packets and rate:
            print(f"Sent {packets} packets of audio; video has {rate // 1000} kbit/s.", flush=True)
        return GLib.SOURCE_CONTINUE


def fetch_token(_sink):
    """Called on a thread of its own. None leaves the element without a new token."""
    command = shlex.split(os.environ["IVS_TOKEN_COMMAND"])
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return printed.stdout.strip() or None


if __name__ == "__main__":
    Gst.init(None)
    sys.exit(Publisher(sys.argv[1] if len(sys.argv) > 1 else None).run())
