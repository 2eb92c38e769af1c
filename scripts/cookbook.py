#!/usr/bin/env python3
"""Runs the recipes of docs/cookbook.md against a local stage.

A recipe is a block of code after a comment such as

    <!-- recipe: rtsp; media: av; with: camera -->

media     what must arrive at the stage: audio, video or av
packets   how many packets of each must arrive (default: 100)
sessions  how many sessions must have had that (default: 1)
ends      "yes" if it ends by itself; else it gets SIGINT, as by Ctrl-C
with      a stand-in for what the recipe needs: film, camera, srt, rtmp, screen, tokens
makes     a file that must be playable afterwards

The blocks of the recipe `cargo` are the files of a program that must build.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "cookbook.md"
BLOCK = re.compile(r"<!-- recipe: (.*?) -->\n```(\w+)\n(.*?)```", re.DOTALL)
# Bounds, in seconds, for what takes a few.
START, PUBLISH, END = 20, 40, 20

VIDEO = (
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=30/1"
    " ! x264enc tune=zerolatency speed-preset=veryfast bitrate=800 key-int-max=60"
    " ! video/x-h264,profile=baseline ! h264parse"
)
AUDIO = "audiotestsrc is-live=true ! audio/x-raw,rate=48000 ! audioconvert ! voaacenc ! aacparse"

CAMERA = """
import sys, gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer(address="127.0.0.1", service=sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory(shared=True, launch=sys.argv[2])
server.get_mount_points().add_factory("/stream", factory)
server.attach(None)
GLib.MainLoop().run()
"""

NGINX = """
daemon off; master_process off; {2} pid {0}/nginx.pid; error_log {0}/nginx.log;
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
events {{}}
rtmp {{ access_log off; server {{ listen 127.0.0.1:{1}; application live {{ live on; }} }} }}
"""


class Failed(Exception):
    """Why a recipe failed."""


class Recipe:
    def __init__(self, head, language, text):
        options = dict(part.split(": ", 1) for part in f"name: {head}".split("; "))
        self.name, self.language, self.text = options["name"], language, text
        self.media = options.get("media", "")
        self.packets = int(options.get("packets", 100))
        self.sessions = int(options.get("sessions", 1))
        self.ends = options.get("ends") == "yes"
        self.needs, self.makes = options.get("with"), options.get("makes")


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_for(what, bound, look):
    """Waits for what no event tells: a foreign server, a line in a file."""
    end = time.monotonic() + bound
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise Failed(f"{what}: not within {bound} s")


@contextlib.contextmanager
def process(command, **options):
    started = subprocess.Popen(command, start_new_session=True, **options)
    try:
        yield started
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def accepts(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


class Stage:
    def __init__(self, command, folder):
        self.command, self.key, self.events_file = command, folder / "key", folder / "events"

    @contextlib.contextmanager
    def running(self):
        command = [self.command, "serve", "--no-page", "--key-file", self.key, "--events", self.events_file]
        with process(command):
            listening = wait_for("the stage", START, self.events)[0]
            self.endpoint = listening["endpoint"]
            yield self

    def token(self):
        command = [self.command, "token", "--key-file", self.key]
        return subprocess.check_output(command, text=True).strip()

    def events(self):
        if not self.events_file.exists():
            return []
        lines = self.events_file.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def published(self, recipe):
        """The sessions that have had what the recipe has to publish."""
        wanted = {"audio": ["audio"], "video": ["video"], "av": ["audio", "video"]}[recipe.media]
        found = set()
        for event in self.events():
            sections = {part["kind"]: part for part in event.get("sections", [])}
            if event["event"] in ("media", "ended") and all(
                self.has_come(sections.get(kind), recipe.packets) for kind in wanted
            ):
                found.add(event["session"])
        return found

    @staticmethod
    def has_come(section, packets):
        if not section or section["packets"] < packets:
            return False
        return section["kind"] == "audio" or section["frames"]["decodable"] > 30

    def check_end(self):
        created = {e["session"] for e in self.events() if e["event"] == "created"}
        ended = {e["session"]: e["reason"] for e in self.events() if e["event"] == "ended"}
        for session in created:
            if ended.get(session) != "deleted":
                raise Failed(f"session {session} was not deleted: {ended.get(session)}")


class StandIns:
    """What a recipe needs and this machine lacks. Each gives words to replace."""

    def __init__(self, folder, stage):
        self.folder, self.stage = folder, stage

    @contextlib.contextmanager
    def film(self, _env):
        launch(f"mp4mux name=file ! filesink location={self.folder}/film.mp4 "
               + VIDEO.replace("is-live=true", "num-buffers=300") + " ! file. "
               + AUDIO.replace("is-live=true", "num-buffers=469") + " ! file.")
        yield {}

    @contextlib.contextmanager
    def camera(self, _env):
        port = free_port()
        described = (f"( {VIDEO} ! rtph264pay name=pay0 pt=96 config-interval=-1 "
                     "audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay1 pt=8 )")
        with process(["/usr/bin/python3", "-c", CAMERA, str(port), described]):
            wait_for("the camera", START, lambda: accepts(port))
            yield {"camera.example": f"127.0.0.1:{port}"}

    @contextlib.contextmanager
    def srt(self, _env):
        port = free_port(socket.SOCK_DGRAM)
        # It calls until the recipe listens.
        description = (f"mpegtsmux alignment=7 name=ts ! srtsink uri=srt://127.0.0.1:{port}?mode=caller "
                       f"wait-for-connection=true {VIDEO} ! queue ! ts. {AUDIO} ! queue ! ts.")
        command = f"until gst-launch-1.0 -q {shlex.join(shlex.split(description))}; do sleep 0.2; done"
        with process(["bash", "-c", command], stderr=subprocess.DEVNULL):
            yield {":7001": f"127.0.0.1:{port}"}

    @contextlib.contextmanager
    def rtmp(self, _env):
        port = free_port()
        configuration = self.folder / "nginx.conf"
        # Nginx warns of a user if an ordinary one starts it.
        user = "user root;" if os.geteuid() == 0 else ""
        configuration.write_text(NGINX.format(self.folder, port, user))
        location = f"rtmp://127.0.0.1:{port}/live/stream"
        sender = shlex.split(f"gst-launch-1.0 -q flvmux name=flv streamable=true ! rtmp2sink "
                             f"location={location} {VIDEO} ! queue ! flv. {AUDIO} ! queue ! flv.")
        with process(["/usr/sbin/nginx", "-c", configuration, "-p", self.folder]):
            wait_for("nginx", START, lambda: accepts(port))
            with process(sender):
                yield {"server.example": f"127.0.0.1:{port}"}

    @contextlib.contextmanager
    def screen(self, env):
        reading, writing = os.pipe()
        xvfb = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x720x24", "-nolisten", "tcp"]
        pulse = ["pulseaudio", "--daemonize=no", "-n", "--exit-idle-time=-1",
                 "--load=module-null-sink",
                 f"--load=module-native-protocol-unix socket={self.folder}/pulse.sock auth-anonymous=1"]
        own = {**os.environ, "HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder)}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": own}
        with process(xvfb, pass_fds=[writing], **quiet), process(pulse, **quiet):
            with os.fdopen(reading) as display:
                env["DISPLAY"] = f":{display.readline().strip()}"
            os.close(writing)
            env["PULSE_SERVER"] = f"unix:{self.folder}/pulse.sock"
            wait_for("pulseaudio", START, (self.folder / "pulse.sock").exists)
            yield {}

    @contextlib.contextmanager
    def tokens(self, _env):
        tokens = [self.stage.token() for _ in range(20)]
        (self.folder / "tokens").write_text("\n".join(tokens))
        yield {}


def launch(description):
    command = ["gst-launch-1.0", "-q", "-e", *shlex.split(description)]
    subprocess.run(command, check=True, timeout=60)


def written(recipe, folder, endpoint, replaced):
    """The recipe as a file, and the command that runs it."""
    text = recipe.text.replace("ivswhipsink", f"ivswhipsink whip-endpoint={endpoint}", 1)
    # The message's name begins with the element's, which no recipe has before the element.
    for word, other in replaced.items():
        text = text.replace(word, other)
    file = folder / f"recipe.{recipe.language}"
    if recipe.language == "sh":
        # In place of the shell, so that it gets the signal.
        file.write_text(text.replace("gst-launch-1.0", "exec gst-launch-1.0", 1))
        return ["bash", file]
    file.write_text(text)
    return ["/usr/bin/python3", file]


def run(recipe, folder, options):
    with contextlib.ExitStack() as stack:
        stage = stack.enter_context(Stage(options.stage, folder).running())
        env = {**os.environ, "IVS_STAGE_TOKEN": stage.token(), "GST_PLUGIN_PATH": options.plugin}
        replaced = {}
        if recipe.needs:
            stand_in = getattr(StandIns(folder, stage), recipe.needs)
            replaced = stack.enter_context(stand_in(env))
        command = written(recipe, folder, stage.endpoint, replaced)
        with open(folder / "output", "w") as output:
            started = stack.enter_context(
                process(command, cwd=folder, env=env, stdout=output, stderr=output))
            watch(recipe, started, stage)
        stage.check_end()
    if recipe.makes:
        launch(f"filesrc location={folder / recipe.makes} ! decodebin ! fakesink")


def watch(recipe, started, stage):
    def is_enough():
        return len(stage.published(recipe)) >= recipe.sessions

    def has_come():
        if started.poll() is not None:
            raise Failed(f"it ended by itself, with exit code {started.returncode}")
        return is_enough()

    if not recipe.ends:
        wait_for(f"{recipe.packets} packets", PUBLISH, has_come)
        started.send_signal(signal.SIGINT)
    try:
        code = started.wait(PUBLISH if recipe.ends else END)
    except subprocess.TimeoutExpired:
        raise Failed("it did not end") from None
    if code != 0:
        raise Failed(f"exit code {code}")
    if not is_enough():
        raise Failed(f"fewer than {recipe.packets} packets arrived")


def check_cargo(blocks, folder):
    """Builds the program with the dependencies that the repository has already."""
    texts = {block.language: block.text for block in blocks}
    manifest = texts["toml"].replace("../gst-plugin-ivs", str(ROOT))
    package = '[package]\nname = "recipe"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n'
    (folder / "src").mkdir()
    (folder / "Cargo.toml").write_text(package + manifest)
    (folder / "src" / "main.rs").write_text(texts["rust"])
    shutil.copy(ROOT / "Cargo.lock", folder)
    subprocess.run(["cargo", "run", "--quiet", "--offline"], cwd=folder, check=True,
                   env={**os.environ, "CARGO_TARGET_DIR": target_folder()})


def target_folder():
    return os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))


def attempt(name, work):
    print(f"{name:24}", end="", flush=True)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cookbook-") as folder:
        try:
            work(pathlib.Path(folder))
        except (Failed, subprocess.SubprocessError) as error:
            output = pathlib.Path(folder) / "output"
            print(f"FAILED: {error}\n{output.read_text() if output.exists() else ''}")
            return False
    print(f"well, {time.monotonic() - begun:.1f} s")
    return True


def main():
    parser = argparse.ArgumentParser(description="Runs the recipes of docs/cookbook.md.")
    built = pathlib.Path(target_folder()) / "debug"
    parser.add_argument("--stage", default=built / "ivs-stage", help="the command ivs-stage")
    parser.add_argument("--plugin", help="the folder of the plugin")
    parser.add_argument("names", nargs="*", help="only these recipes")
    options = parser.parse_args()
    if options.plugin is None:
        # Of its own, since GStreamer searches all below.
        options.plugin = built / "demo"
        options.plugin.mkdir(exist_ok=True)
        link = options.plugin / "libgstivs.so"
        link.unlink(missing_ok=True)
        link.symlink_to("../libgstivs.so")
    options.plugin = str(options.plugin)
    recipes = [Recipe(*found) for found in BLOCK.findall(PAGE.read_text())]
    unknown = set(options.names) - {recipe.name for recipe in recipes}
    if unknown or not recipes:
        sys.exit(f"cookbook: there is no recipe {' '.join(unknown)}")
    chosen = [r for r in recipes if not options.names or r.name in options.names]
    program = [recipe for recipe in chosen if recipe.name == "cargo"]
    results = [attempt(recipe.name, lambda folder, recipe=recipe: run(recipe, folder, options))
               for recipe in chosen if recipe not in program]
    if program:
        results.append(attempt("cargo", lambda folder: check_cargo(program, folder)))
    print(f"cookbook: {results.count(True)} of {len(results)} recipes work")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
