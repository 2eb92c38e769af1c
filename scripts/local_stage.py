"""A local stage for the measurements, in a process of its own."""

import contextlib
import json
import os
import subprocess


@contextlib.contextmanager
def local_stage(built, folder):
    """Gives the process, its endpoint and a token. `built` is the folder of the commands, and
    `folder` is where the key is. The stage ends with the block, if it has not before."""
    key = os.path.join(folder, "key")
    command = os.path.join(built, "ivs-stage")
    stage = subprocess.Popen(
        [command, "serve", "--no-page", "--key-file", key], stdout=subprocess.PIPE, text=True
    )
    try:
        endpoint = json.loads(stage.stdout.readline())["endpoint"]
        token = subprocess.run(
            [command, "token", "--key-file", key], stdout=subprocess.PIPE, text=True, check=True
        ).stdout.strip()
        yield stage, endpoint, token
    finally:
        stage.terminate()
        stage.wait()
