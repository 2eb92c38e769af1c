"""Prints on which thread each signal, notification and message of the element comes.

    threads.py ENDPOINT TOKEN_FILE [PIPELINE]

One line each: kind, name, thread. It ends some seconds after the session publishes, or at
the first failure.
"""

import sys
import threading

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

AUDIO = "audiotestsrc is-live=true ! opusenc ! rtpopuspay ! ivswhipsink name=whip"
PROPERTIES = ("session-state", "target-bitrate", "token-expiry", "participant-id", "stage-arn")
SHOWN = Gst.MessageType.ELEMENT | Gst.MessageType.INFO
SHOWN |= Gst.MessageType.WARNING | Gst.MessageType.ERROR

seen = set()


def note(kind, name):
    if threading.current_thread() is threading.main_thread():
        thread = "application"
    else:
        with open(f"/proc/self/task/{threading.get_native_id()}/comm") as file:
            thread = file.read().strip()
        # That of the source, whose name is longer than what Linux keeps.
        if thread.startswith("videotestsrc"):
            thread = "streaming"
    if (kind, name, thread) not in seen:
        seen.add((kind, name, thread))
        print(kind, name, thread, flush=True)


def on_posted(_bus, message, _data=None):
    if message.src is sink and message.type & SHOWN:
        structure = message.get_structure()
        is_own = message.type == Gst.MessageType.ELEMENT
        name = structure.get_name() if is_own else message.type.first_value_nick
        note("message", name)
        if name in ("error", "ivswhipsink-retry"):
            GLib.idle_add(loop.quit)
        elif name == "ivswhipsink-session-state" and structure.get_string("state") == "publishing":
            GLib.idle_add(set_bad_token)
            GLib.timeout_add_seconds(4, loop.quit)
    return Gst.BusSyncReply.PASS


def set_bad_token():
    sink.set_property("auth-token", "two words")


def on_token(_sink):
    note("signal", "request-token")
    with open(sys.argv[2]) as file:
        return file.read().strip()


def on_encoder(_sink, _encoder):
    note("signal", "encoder-setup")
    return False


Gst.init(None)
loop = GLib.MainLoop()
pipeline = Gst.parse_launch(sys.argv[3] if len(sys.argv) > 3 else AUDIO)
sink = pipeline.get_by_name("whip")
sink.set_property("whip-endpoint", sys.argv[1])
sink.connect("webrtcbin-ready", lambda *_: note("signal", "webrtcbin-ready"))
sink.connect("request-token", on_token)
sink.connect("encoder-setup", on_encoder)
for name in PROPERTIES:
    sink.connect(f"notify::{name}", lambda _, spec: note("notify", spec.name))
pipeline.get_bus().set_sync_handler(on_posted)
GLib.timeout_add_seconds(20, loop.quit)
if pipeline.set_state(Gst.State.PLAYING) != Gst.StateChangeReturn.FAILURE:
    loop.run()
pipeline.set_state(Gst.State.NULL)
