#!/usr/bin/env python3
"""Runs the commands of README.md and docs/ as a new user would.

    run_documented_commands.py FOLDER

FOLDER is a fresh Debian; packaging/test_docs.sh makes it. The commands run in it as they are
written, by an ordinary user who may use sudo. Outside of it, on this machine, are stand-ins: a
local stage behind TLS for Amazon IVS, a camera, a microphone. Needs root.
"""

import contextlib
import http.client
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import types

from cookbook import AUDIO, CAMERA, VIDEO, Failed, Stage, process, target_folder, wait_for
from documented_commands import TERMINALS, checked, excused, matching

USER, HOME, CLONE = "1000:1000", "/home/user", "/home/user/gst-plugin-ivs"
# Bounds in seconds: for a build, and for what takes a few.
BUILD, END = 3600, 60

NGINX = """
daemon off; master_process off; user root; pid {0}/nginx.pid; error_log {0}/nginx.log; events {{}}
http {{
    access_log off; ssl_certificate {0}/tls.crt; ssl_certificate_key {0}/tls.key;
    proxy_http_version 1.1; proxy_redirect http://{2}/ https://regional.whip.live-video.net/;
    server {{ listen 127.0.0.1:443 ssl; server_name global.whip.live-video.net;
              location / {{ proxy_pass http://{1}; }} }}
    server {{ listen 127.0.0.1:443 ssl; server_name regional.whip.live-video.net;
              location / {{ proxy_pass http://{2}; }} }}
}}
"""


class Local(Stage):
    """A stage that a documented command has started."""

    def __init__(self, events_file, started):
        self.events_file, self.started = events_file, started


class Run:
    def __init__(self, root, commands):
        self.root, self.commands = root, commands
        self.check = root / "check"
        self.count, self.log = 0, None
        self.stack = contextlib.ExitStack()
        self.serving = self.terminal = None

    def stand_ins(self):
        self.ivs = Stage(pathlib.Path(target_folder()) / "debug" / "ivs-stage", self.check)
        self.stack.enter_context(self.ivs.running())
        listening = self.ivs.events()[0]
        configuration = self.check / "nginx.conf"
        configuration.write_text(NGINX.format(self.check, *listening["hosts"]))
        self.stack.enter_context(process(["/usr/sbin/nginx", "-c", configuration, "-p", self.check]))
        camera = (f"( {VIDEO} ! rtph264pay name=pay0 pt=96 config-interval=-1 "
                  "audiotestsrc is-live=true ! opusenc ! rtpopuspay name=pay1 pt=97 )")
        self.stack.enter_context(process(["/usr/bin/python3", "-c", CAMERA, "554", camera]))
        socket = self.check / "pulse.sock"
        pulse = ["pulseaudio", "--daemonize=no", "-n", "--exit-idle-time=-1", "--load=module-null-sink",
                 f"--load=module-native-protocol-unix socket={socket} auth-anonymous=1"]
        # PulseAudio wants it to be of its own user.
        home = self.check / "pulse"
        home.mkdir()
        own = {**os.environ, "HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.stack.enter_context(process(pulse, env=own, **quiet))
        wait_for("pulseaudio", END, socket.exists)

    # A terminal: a shell for each command, which goes on where the last one was.

    def open_terminal(self, has_token):
        folder = CLONE if (self.root / CLONE[1:]).exists() else HOME
        token = f"export IVS_STAGE_TOKEN={self.ivs.token()}\n" if has_token else ""
        (self.check / "state").write_text(f"{token}cd {folder}\n")
        (self.check / "state").chmod(0o666)

    @contextlib.contextmanager
    def shell(self, text, typed="", output=None):
        # A shell reads its file as it goes on.
        self.count += 1
        line, self.log = f"/check/line-{self.count}", self.check / f"log-{self.count}"
        pathlib.Path(f"{self.root}{line}").write_text(
            f". /check/state\n{text}\nstatus=$?\n"
            '{ export -p; echo "umask $(umask)"; printf "cd %q\\n" "$PWD"; } >/check/state\n'
            "exit $status\n")
        (self.check / "typed").write_text(typed + "\n" if typed else "")
        command = ["chroot", f"--userspec={USER}", f"--groups={USER[:4]}", self.root, "/usr/bin/env", "-i",
                   f"HOME={HOME}", "USER=user", "LC_ALL=C.UTF-8", "PULSE_SERVER=unix:/check/pulse.sock",
                   f"PATH={HOME}/.cargo/bin:/usr/local/bin:/usr/bin:/bin", "bash", line]
        with open(self.log, "w") as log, open(self.check / "typed") as stdin:
            with process(command, stdin=stdin, stdout=output or log, stderr=log) as started:
                yield started

    def does(self, text, typed="", bound=BUILD):
        with self.shell(text, typed) as started:
            self.has_ended(started, bound)

    @staticmethod
    def has_ended(started, bound):
        try:
            code = started.wait(bound)
        except subprocess.TimeoutExpired:
            raise Failed(f"it did not end within {bound} s") from None
        if code != 0:
            raise Failed(f"exit code {code}")

    @staticmethod
    def goes_on(started):
        if started.poll() is not None:
            raise Failed(f"exit code {started.returncode}")

    @staticmethod
    def press_ctrl_c(started):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGINT)

    # The kinds.

    def ends(self, text, step):
        self.does(text, self.ivs.token() if step.typed == "token" else step.typed)

    def shows(self, text, _step):
        """The demo, with a page."""
        with self.shell(text) as started:
            def page():
                self.goes_on(started)
                return re.search(r"Watch it at http://([^/ ]+)(\S*)", self.log.read_text())

            host, path = wait_for("the page", BUILD, page).groups()
            connection = http.client.HTTPConnection(host, timeout=END)
            connection.request("GET", path)
            reply = connection.getresponse()
            if reply.status != 200 or b"<title>" not in reply.read():
                raise Failed(f"the page: {reply.status}")
            self.press_ctrl_c(started)
            started.wait(END)
        if "demo: ended." not in self.log.read_text():
            raise Failed("the demo did not end in order")

    def publishes(self, text, step):
        stage = self.serving or self.ivs
        before = {event["session"] for event in stage.events() if "session" in event}
        wanted = types.SimpleNamespace(media=step.media, packets=50)

        def is_done():
            if started.poll() not in (None, 0):
                raise Failed(f"exit code {started.returncode}")
            return stage.published(wanted) - before

        with self.shell(text) as started:
            wait_for(f"{step.media} at the stage", BUILD if "cargo" in text else END, is_done)
            if "autoaudiosrc" in text:
                self.is_recording()
            if " -e " in text or "cargo" in text:
                self.press_ctrl_c(started)
            self.has_ended(started, END)
        wait_for("the DELETE", END, lambda: any(
            event["event"] == "ended" and event["session"] not in before and event["reason"] == "deleted"
            for event in stage.events()))

    def is_recording(self):
        """autoaudiosrc publishes silence if it finds no microphone."""
        command = ["pactl", "--server", f"unix:{self.check}/pulse.sock", "list", "short", "source-outputs"]
        if not subprocess.check_output(command):
            raise Failed("nobody records from the microphone")

    def serves(self, text, _step):
        """It goes on until the terminal is left."""
        output = self.terminal.enter_context(open(self.check / "serving", "w"))
        started = self.terminal.enter_context(self.shell(text, output=output))
        self.serving = Local(self.check / "serving", started)

        def events():
            self.goes_on(started)
            return self.serving.events()

        wait_for("the stage", END, events)

    def leave_terminal(self):
        serving, self.serving = self.serving, None
        if serving:
            self.press_ctrl_c(serving.started)
            self.has_ended(serving.started, END)

    # What is given.

    def old_build(self):
        """What an earlier run has built of the dependencies: cargo builds the rest."""
        self.does("ln -s /check/target target")

    def microphone(self):
        self.does("sudo apt-get -q install --yes gstreamer1.0-pulseaudio")

    def film(self):
        video = VIDEO.replace("is-live=true", "num-buffers=300")
        audio = AUDIO.replace("is-live=true", "num-buffers=469")
        self.does(f"gst-launch-1.0 -q mp4mux name=file ! filesink location=film.mp4 {video} ! file. {audio} ! file.")

    def webm(self):
        self.does("gst-launch-1.0 -q webmmux name=file ! filesink location=film.webm"
                  " videotestsrc num-buffers=300 ! vp8enc deadline=1 ! file."
                  " audiotestsrc num-buffers=469 ! audio/x-raw,rate=48000 ! opusenc ! file."
                  " && sudo mv film.webm /")

    def token_file(self):
        (self.root / CLONE[1:] / "stage-token.new").write_text(self.ivs.token())
        self.does("sudo chown user stage-token.new")

    def events(self):
        shutil.copy(self.serving.events_file, self.root / CLONE[1:] / "events.jsonl")

    # All of them.

    def step(self, step):
        line, = matching(self.commands, step.wanted)
        text = self.commands[line][0].replace("<repository URL>", "/source")
        return self.attempt(line, lambda: self.prepared(text, step))

    def prepared(self, text, step):
        if step.given:
            getattr(self, step.given)()
        getattr(self, step.kind)(text, step)

    def attempt(self, name, work):
        print(f"{name[:90]:92}", end="", flush=True)
        begun = time.monotonic()
        try:
            work()
        except (Failed, OSError, subprocess.SubprocessError) as error:
            print(f"FAILED: {error}\n{self.log.read_text()[-6000:]}")
            return False
        print(f"{time.monotonic() - begun:7.1f} s")
        return True

    def recipes(self):
        """The cookbook, with the packages that the documents have installed."""
        self.open_terminal(has_token=False)
        packages = os.environ["COOKBOOK_PACKAGES"]
        self.does(f"sudo apt-get -q install --yes --no-install-recommends {packages}")
        self.does("scripts/cookbook.py --stage /usr/bin/ivs-stage --plugin /nowhere")

    def all(self):
        results = []
        with self.stack:
            self.stand_ins()
            for has_token, steps in TERMINALS:
                self.open_terminal(has_token)
                with contextlib.ExitStack() as self.terminal:
                    results += [self.step(step) for step in steps]
                    results.append(self.attempt("  (the terminal is left)", self.leave_terminal))
            results.append(self.attempt("  (the cookbook)", self.recipes))
            print(self.log.read_text())
        return results


def main():
    commands = checked()
    # A shell starts what runs in the background with SIGINT ignored. The commands would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    results = Run(pathlib.Path(sys.argv[1]), commands).all()
    left_out = excused(commands)
    for line, why in left_out.items():
        print(f"not run ({why}): {line[:90]}")
    print(f"run_documented_commands: {results.count(True)} of {len(results)} work, {len(left_out)} not run")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
