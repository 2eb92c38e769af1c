#!/usr/bin/env python3
"""How long a picture takes from its capture until Chromium shows it.

Each picture has its time of day as black and white blocks. It goes through the element to a
local stage, and from there to a page that reads the blocks where the picture is shown. Raw
video and the same video encoded by hand take turns, since the browser's jitter buffer differs
from run to run. Needs Chromium, PyGObject and `cargo build --release`; on a busy machine the
numbers mean nothing.
"""

import argparse
import contextlib
import http.server
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst

from local_stage import local_stage

WIDTH, HEIGHT, RATE = 1280, 720, 30
BITS, BLOCK = 20, 64
CAPS = f"video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate={RATE}/1"
SOURCE = f"appsrc name=camera is-live=true do-timestamp=true format=time caps={CAPS}"
X264 = (
    "x264enc tune=zerolatency speed-preset=veryfast sliced-threads=false threads=1 bframes=0 "
    "b-adapt=false vbv-buf-capacity=300 option-string=scenecut=0 key-int-max=60 bitrate=2500 "
    "! video/x-h264,profile=constrained-baseline,stream-format=byte-stream "
    "! rtph264pay mtu=1200 config-interval=-1 aggregate-mode=zero-latency"
)
FORMS = {
    "raw": f"{SOURCE} ! ivswhipsink name=whip",
    "by hand": f"{SOURCE} ! queue ! {X264} ! ivswhipsink name=whip",
}

PAGE = """<!DOCTYPE html><video autoplay muted playsinline></video><script>
const [whep, token, bits, block, wanted] = %s;
const video = document.querySelector("video");
const canvas = new OffscreenCanvas(bits * block / 2, block * 2);
const pen = canvas.getContext("2d", { willReadFrequently: true });
const delays = [];
function shown(now, frame) {
    pen.drawImage(video, 0, 0, canvas.width, canvas.height, 0, 0, canvas.width, canvas.height);
    const pixels = pen.getImageData(0, 0, canvas.width, canvas.height).data;
    let sent = 0;
    for (let bit = 0; bit < bits; bit += 1) {
        const x = block * (bit %% (bits / 2)) + block / 2;
        const y = block * Math.floor(bit / (bits / 2)) + block / 2;
        sent += (pixels[4 * (y * canvas.width + x)] > 128) * 2 ** bit;
    }
    const at = performance.timeOrigin + frame.expectedDisplayTime;
    delays.push((at - sent) %% 2 ** bits);
    if (delays.length === wanted) {
        fetch("/delays", { method: "POST", body: JSON.stringify(delays) });
    } else {
        video.requestVideoFrameCallback(shown);
    }
}
(async () => {
    const peer = new RTCPeerConnection();
    peer.addTransceiver("audio", { direction: "recvonly" });
    peer.addTransceiver("video", { direction: "recvonly" });
    const stream = new MediaStream();
    peer.ontrack = (event) => { stream.addTrack(event.track); video.srcObject = stream; };
    await peer.setLocalDescription();
    const request = { method: "POST", body: peer.localDescription.sdp,
        headers: { "Authorization": ["Bearer", token].join(" "), "Content-Type": "application/sdp" } };
    let reply = await fetch(whep, request);
    if (!reply.ok && reply.redirected) {
        // The browser has dropped the token on its way to another host.
        reply = await fetch(reply.url, request);
    }
    if (!reply.ok) {
        throw new Error(`${reply.status}: ${await reply.text()}`);
    }
    await peer.setRemoteDescription({ type: "answer", sdp: await reply.text() });
    video.requestVideoFrameCallback(shown);
})().catch((error) => fetch("/delays", { method: "POST", body: JSON.stringify(`${error}`) }));
</script>"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--built", default="target/release", help="folder of plugin and stage")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=300, help="measured in each run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as plugins:
        os.symlink(os.path.abspath(f"{arguments.built}/libgstivs.so"), f"{plugins}/libgstivs.so")
        os.environ["GST_PLUGIN_PATH"] = plugins
        os.environ["GST_REGISTRY"] = f"{plugins}/registry"
        Gst.init(None)
        measured = {form: [] for form in FORMS}
        for _ in range(arguments.runs):
            for form, pipeline in FORMS.items():
                measured[form].append(run(arguments.built, pipeline, arguments.pictures))
                print(f"{form}: median {measured[form][-1]:.0f} ms", file=sys.stderr)
    print("| what | capture to shown, ms, median of runs | runs |")
    print("| --- | --- | --- |")
    for form, medians in measured.items():
        each = ", ".join(f"{median:.0f}" for median in medians)
        print(f"| {form} | {statistics.median(medians):.0f} | {each} |")


def run(built, pipeline, pictures):
    """Publishes by the pipeline, and returns the median of the delays that a viewer sees."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stage, endpoint, token = stack.enter_context(local_stage(built, folder))
        publisher = start_publisher(stack, pipeline, endpoint, token)
        participant = wait_for(stage, publisher)
        whep = f"{endpoint.rstrip('/')}/subscribe/{participant}"
        delays = watch(stack, json.dumps([whep, token, BITS, BLOCK, pictures + RATE]))
    # The first second has the start of the browser's jitter buffer.
    return statistics.median(delays[RATE:])


def stop(process):
    process.terminate()
    process.communicate()


def start_publisher(stack, description, endpoint, token):
    pipeline = Gst.parse_launch(description)
    whip = pipeline.get_by_name("whip")
    whip.set_property("whip-endpoint", endpoint)
    whip.set_property("auth-token", token)
    done = threading.Event()
    camera = threading.Thread(target=capture, args=(pipeline.get_by_name("camera"), done))
    pipeline.set_state(Gst.State.PLAYING)
    camera.start()
    stack.callback(pipeline.set_state, Gst.State.NULL)
    stack.callback(camera.join)
    stack.callback(done.set)
    return pipeline


def capture(camera, done):
    """Gives a picture with the time of day, 30 times a second."""
    chroma = bytes([128]) * (WIDTH * HEIGHT // 2)
    rest = b"".join(
        bytes((x * 3 + y * 5) % 200 + 20 for x in range(WIDTH)) for y in range(HEIGHT - 2 * BLOCK)
    )
    grey = bytes([128]) * (WIDTH - BITS // 2 * BLOCK)
    due = time.monotonic()
    while not done.is_set():
        due += 1 / RATE
        time.sleep(max(0, due - time.monotonic()))
        sent = int(time.time() * 1000)
        rows = b""
        for row in range(2):
            bits = range(row * BITS // 2, (row + 1) * BITS // 2)
            rows += (b"".join(bytes([235 if sent >> bit & 1 else 16]) * BLOCK for bit in bits) + grey) * BLOCK
        camera.emit("push-buffer", Gst.Buffer.new_wrapped(rows + rest + chroma))


def wait_for(stage, publisher):
    """The participant, once its video has arrived. A publisher's error ends the wait."""
    threading.Thread(target=report_errors, args=(publisher,), daemon=True).start()
    participant = None
    for line in stage.stdout:
        event = json.loads(line)
        participant = event.get("participant", participant)
        if event["event"] == "first_packet" and event["kind"] == "video":
            # The stage goes on, and must not wait for a reader.
            threading.Thread(target=stage.stdout.read, daemon=True).start()
            return participant
    raise SystemExit("The stage ended before video arrived.")


def report_errors(publisher):
    message = publisher.get_bus().timed_pop_filtered(Gst.CLOCK_TIME_NONE, Gst.MessageType.ERROR)
    if message:
        print(message.parse_error(), file=sys.stderr)


def watch(stack, settings):
    """Opens the page in a browser, and returns the delays that it reports."""
    reported = threading.Event()
    delays = []

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer((PAGE % settings).encode() if self.path == "/" else b"")

        def do_POST(self):
            delays.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(b"")
            reported.set()

        def answer(self, body):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    stack.callback(site.shutdown)
    profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
    browser = subprocess.Popen(
        [
            os.environ.get("CHROMIUM", "chromium"),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--autoplay-policy=no-user-gesture-required",
            f"--user-data-dir={profile}",
            f"http://127.0.0.1:{site.server_port}/",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(stop, browser)
    if not reported.wait(120):
        raise SystemExit("The browser showed too few pictures in two minutes.")
    if isinstance(delays[0], str):
        raise SystemExit(delays[0])
    return delays[0]


if __name__ == "__main__":
    main()
