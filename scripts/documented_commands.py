#!/usr/bin/env python3
"""The commands of README.md and docs/, and how each is tried.

Each command of each block for a shell must be in TERMINALS, which say how it is run, or in NOT_RUN,
which says why it is not. Run by itself, this file fails if one is in neither.
"""

import dataclasses
import fnmatch
import re
import sys

from cookbook import ROOT

BLOCK = re.compile(r"(<!-- recipe: [^>]*-->\n)?^( *)```(\w+)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


@dataclasses.dataclass
class Step:
    """How a command is run. `wanted` are its words, in which `*` stands for any; `kind` and `given`,
    which makes what the user has before, are functions of run_documented_commands.py."""

    wanted: str
    kind: str = "ends"
    media: str = ""
    typed: str = ""
    given: str = ""


def publishes(wanted, media, given=""):
    """It publishes until Ctrl-C, or to its end."""
    return Step(wanted, "publishes", media, given=given)


# What a user does in one terminal after the other, and whether the token is set there.
TERMINALS = [
    (False, [
        Step("git clone *"),
        Step("make demo WATCH=1", "shows", given="old_build"),
        Step("read -rs IVS_STAGE_TOKEN *", typed="token"),
        Step("export IVS_STAGE_TOKEN"),
        Step('export GST_PLUGIN_PATH="$PWD/target/debug/demo" *'),
        publishes("gst-launch-1.0 -e autoaudiosrc ! ivswhipsink", "audio", "microphone"),
        publishes("gst-launch-1.0 -e audiotestsrc is-live=true ! ivswhipsink", "audio"),
        publishes("gst-launch-1.0 -e ivswhipsink name=whip videotestsrc * ! whip. audiotestsrc "
                  "is-live=true ! whip.", "av"),
        publishes("gst-launch-1.0 -e uridecodebin *", "av", "film"),
        publishes("gst-launch-1.0 -e rtspsrc * ! rtph264depay ! *", "video"),
    ]),
    (False, [
        Step("target/debug/ivs-stage serve --port 8080", "serves"),
        Step('export GST_PLUGIN_PATH="$PWD/target/debug/demo"'),
        Step('export IVS_STAGE_TOKEN="$(target/debug/ivs-stage token)"'),
        publishes("gst-launch-1.0 -e audiotestsrc * whip-endpoint=http://127.0.0.1:8080/", "audio"),
    ]),
    # No other plugin is installed by now.
    (False, [
        Step("cargo install --locked cargo-c@*"),
        Step("cargo cinstall *"),
        Step("sudo cp -r target/root/usr /"),
        Step("gst-inspect-1.0 ivswhipsink"),
    ]),
    (True, [
        Step("cargo build --release -p gst-plugin-ivs -p ivs-stage"),
        Step("cargo build --release -p gst-plugin-ivs"),
        Step("install -D -m 644 target/release/libgstivs.so *"),
        Step("gst-inspect-1.0 ivswhipsink"),
        publishes("gst-launch-1.0 -e ivswhipsink name=whip videotestsrc * ! rtph264pay *", "av"),
        publishes("gst-launch-1.0 -e ivswhipsink name=whip rtspsrc *", "av"),
        publishes("gst-launch-1.0 playbin uri=file:///film.webm *", "video", "webm"),
        Step("cargo run --release -p stage-probe > report.md"),
    ]),
    (False, [
        Step("umask 077"),
        Step("mv stage-token.new stage-token", given="token_file"),
        publishes("gst-launch-1.0 -e audiotestsrc * auth-token-file=stage-token", "audio"),
    ]),
    (False, [
        Step("target/release/ivs-stage serve --port 8080", "serves"),
        Step('export GST_PLUGIN_PATH="$PWD/target/release"'),
        Step('export IVS_STAGE_TOKEN="$(target/release/ivs-stage token)"'),
        publishes("gst-launch-1.0 -e audiotestsrc * whip-endpoint=http://127.0.0.1:8080/", "audio"),
        publishes("cargo run --release --example publish_av *", "av"),
        Step("target/release/ivs-stage report --require audio events.jsonl", given="events"),
    ]),
    (False, [
        Step("make deb"),
        Step("sudo apt install ./target/debian/*.deb", typed="y"),
        Step("sudo apt install gstreamer1.0-tools *", typed="y"),
    ]),
]

AWS = "the real service"
MACOS, WINDOWS = "macOS", "Windows"
UNIT = "packaging/check_unit.sh runs it under systemd (make test-deb)"
NOT_RUN = {
    "STAGE_ARN=*": AWS,
    "IVS_STAGE_TOKEN=*aws ivs-realtime *": AWS,
    "aws ivs-realtime *": AWS,
    "gst-launch-1.0 -e ivswhipsink name=whip v4l2src *": "no camera of Linux is here",
    "gst-launch-1.0 -e v4l2src *": "no hardware encoder is here",
    "gst-launch-1.0 -e ivswhipsink name=whip avfvideosrc *": MACOS,
    "$env:*": WINDOWS,
    "gst-launch-1.0 -e ivswhipsink name=whip mfvideosrc *": WINDOWS,
    "cargo run --release -p stage-probe -- --patient *": "takes up to 27 minutes",
    "mkdir -p /etc/ivs-publish": UNIT,
    "cp /usr/share/doc/gstreamer1.0-ivs/examples/ivs-publish.env *": UNIT,
    "install -m 600 stage-token *": UNIT,
    "systemctl enable --now ivs-publish@studio": UNIT,
    "journalctl -f *": UNIT,
}


def documented():
    """The commands, each as one line, with its text and the pages that have it."""
    commands = {}
    for page in [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]:
        for recipe, indent, language, text in BLOCK.findall(page.read_text()):
            # scripts/cookbook.py runs the recipes.
            if language not in ("sh", "powershell") or recipe:
                continue
            for command in re.findall(rf"^{indent}((?:[^\n]*\\\n)*[^\n]+)$", text, re.MULTILINE):
                if not command.lstrip().startswith("#"):
                    line = re.sub(r"\s*\\\n\s*", " ", command)
                    commands.setdefault(line, (command, []))[1].append(page.name)
    return commands


def matching(commands, wanted):
    # `[` has no meaning of its own in a command.
    pattern = wanted.replace("[", "[[]")
    return [line for line in commands if fnmatch.fnmatchcase(line, pattern)]


def complaints(commands):
    """What differs between the tables and the documents."""
    known = set()
    wanted = [step.wanted for _, steps in TERMINALS for step in steps]
    for words in [*wanted, *NOT_RUN]:
        found = matching(commands, words)
        if not found or (words in wanted and len(found) > 1):
            yield f"{len(found)} commands in the documents are: {words}"
        known.update(found)
    for line, (_, pages) in commands.items():
        if line not in known:
            yield f"neither run nor excused, in {', '.join(pages)}: {line}"
    for line in {line for words in NOT_RUN for line in matching(commands, words)}:
        if any(line in matching(commands, words) for words in wanted):
            yield f"run and excused: {line}"


def excused(commands):
    return {line: why for words, why in NOT_RUN.items() for line in matching(commands, words)}


def checked():
    """The commands, if each is run or excused."""
    commands = documented()
    found = list(complaints(commands))
    if found:
        sys.exit("\n".join(found))
    return commands


if __name__ == "__main__":
    known = checked()
    count = len(excused(known))
    print(f"documented_commands: {len(known) - count} are run, {count} excused")
