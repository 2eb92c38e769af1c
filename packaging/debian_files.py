#!/usr/bin/env python3
"""Writes copyright and changelog of a Debian package into a folder.

    debian_files.py CRATE PACKAGE FOLDER

A binary has to carry the notices of what is linked into it. They come from the crates'
own sources, which cargo has already unpacked.
"""

import json
import pathlib
import subprocess
import sys

NAMES = ("licen", "copying", "notice", "patents", "copyright", "unlicense")


def metadata():
    host = subprocess.check_output(["rustc", "--version", "--verbose"], text=True)
    triple = next(line.split()[1] for line in host.splitlines() if line.startswith("host:"))
    command = ["cargo", "metadata", "--locked", "--format-version=1", "--filter-platform", triple]
    return json.loads(subprocess.check_output(command))


def linked(data, name):
    """The ids of the packages that `name` links, itself left out."""
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    packages = {package["id"]: package for package in data["packages"]}
    root = next(id for id, package in packages.items() if package["name"] == name)
    found, waiting = set(), [root]
    while waiting:
        for dep in nodes[waiting.pop()]["deps"]:
            is_normal = any(kind["kind"] is None for kind in dep["dep_kinds"])
            is_macro = any("proc-macro" in t["kind"] for t in packages[dep["pkg"]]["targets"])
            if is_normal and not is_macro and dep["pkg"] not in found:
                found.add(dep["pkg"])
                waiting.append(dep["pkg"])
    local = {id for id in found if packages[id]["source"] is None}
    return [packages[id] for id in found - local]


def notices(package):
    folder = pathlib.Path(package["manifest_path"]).parent
    named = package["license_file"]
    files = {folder / named} if named else set()
    files |= {file for file in folder.iterdir() if file.name.lower().startswith(NAMES)}
    for file in sorted(file for file in files if file.is_file()):
        yield file.name, file.read_text(errors="replace").strip()


def copyright_file(crate, crates):
    yield pathlib.Path("LICENSE-MIT").read_text()
    yield "Or, at your choice, Apache-2.0: see /usr/share/common-licenses/Apache-2.0.\n"
    yield f"{crate} contains these crates, whose licences follow:\n"
    texts = {}
    for package in crates:
        yield f"  {package['name']} {package['version']}: {package['license'] or 'see below'}"
        found = dict(notices(package))
        if not found and not package["license"]:
            sys.exit(f"{package['name']} has no licence: look at its sources")
        for text in found.values():
            if text.startswith("Apache License"):
                continue
            # The same text comes with different line breaks and indents.
            _, names = texts.setdefault(" ".join(text.split()), (text, set()))
            names.add(package["name"])
    for text, names in texts.values():
        yield f"\n{'-' * 72}\nOf {', '.join(sorted(names))}:\n\n{text}"


def changelog(package, version, maintainer):
    """What dpkg wants to know. CHANGELOG.md tells what has changed."""
    # Not the time of the build, so that a package can be built again as it was.
    date = subprocess.run(["git", "log", "-1", "--format=%cD"], stdout=subprocess.PIPE, text=True)
    date = date.stdout.strip() or "Thu, 01 Jan 1970 00:00:00 +0000"
    return (
        f"{package} ({version}-1) unstable; urgency=medium\n\n"
        f"  * Version {version}: see CHANGELOG.md.\n\n"
        f" -- {maintainer}  {date}\n"
    )


def main():
    crate, package, folder = sys.argv[1:]
    data = metadata()
    crates = sorted(linked(data, crate), key=lambda package: package["name"])
    own = next(package for package in data["packages"] if package["name"] == crate)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "copyright").write_text("\n".join(copyright_file(crate, crates)) + "\n")
    maintainer = own["metadata"]["deb"]["maintainer"]
    (folder / "changelog").write_text(changelog(package, own["version"], maintainer))


if __name__ == "__main__":
    main()
