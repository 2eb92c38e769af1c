#!/usr/bin/python3
"""Measures the parts of a connect: a round trip of 100 ms, https, one redirect.

    scripts/connect.py PLUGIN [RUNS]

PLUGIN is a libgstivs.so; `ivs-stage` must lie beside it. The README's audio pipeline
publishes to the default endpoint, whose name leads to TLS in front of a local stage.
Prints milliseconds from the start of gst-launch-1.0, one line per run and the medians:
the offer, the POST at the second host, its 201, and the first STUN check, DTLS record
and RTP packet, all but the offer at the far end.
"""

import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
GLOBAL, REGIONAL = 'global.whip.live-video.net', 'regional.whip.live-video.net'
ADDRESSES = {GLOBAL: '10.77.0.2', REGIONAL: '10.77.0.3'}
STAGE = {GLOBAL: ('127.0.0.1', 8080), REGIONAL: ('127.0.0.2', 8081)}
PIPELINE = 'audiotestsrc is-live=true ! opusenc ! rtpopuspay ! ivswhipsink'
PARTS = ('offer', 'POST', '201', 'check', 'DTLS', 'RTP')
# A run's time on air.
SECONDS = 4


def main(plugin, runs='5'):
    with tempfile.TemporaryDirectory() as scratch:
        os.symlink(os.path.realpath(plugin), f'{scratch}/libgstivs.so')
        names = ','.join(f'DNS:{name}' for name in ADDRESSES)
        subprocess.run(
            ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
             '-nodes', '-days', '2', '-subj', '/CN=test', '-addext', f'subjectAltName={names}',
             '-addext', 'basicConstraints=critical,CA:FALSE',
             '-keyout', f'{scratch}/key', '-out', f'{scratch}/certificate'],
            check=True, stderr=subprocess.DEVNULL)
        with open(f'{scratch}/hosts', 'w', encoding='ascii') as hosts:
            hosts.writelines(f'{address} {name}\n' for name, address in ADDRESSES.items())
        stage = os.path.join(os.path.dirname(os.path.realpath(plugin)), 'ivs-stage')
        itself = [sys.executable, os.path.abspath(__file__)]
        subprocess.run(
            [f'{HERE}/wire.py', '--delay', '50', '--port', '443', '--',
             *itself, 'far', scratch, stage, ':::', *itself, 'near', scratch, stage, runs],
            check=True)


class Events:
    """Written by the far end, read by the near one: both have the same clock."""

    def __init__(self, scratch):
        self.file, self.lock = open(f'{scratch}/events', 'w', encoding='ascii'), threading.Lock()

    def add(self, name):
        with self.lock:
            print(json.dumps([time.monotonic(), name]), file=self.file, flush=True)


def far(scratch, stage):
    subprocess.run(['ip', 'address', 'add', ADDRESSES[REGIONAL], 'dev', 'lo'], check=True)
    serve = subprocess.Popen(
        [stage, 'serve', '--port', '8080', '--regional-port', '8081',
         '--key-file', f'{scratch}/stage-key', '--media-address', ADDRESSES[GLOBAL]],
        stdout=subprocess.PIPE)
    # Its first line says that it listens, and that the key is there.
    serve.stdout.readline()
    threading.Thread(target=serve.stdout.read, daemon=True).start()
    events = Events(scratch)
    threading.Thread(target=watch_media, args=(events,), daemon=True).start()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f'{scratch}/certificate', f'{scratch}/key')
    for host in (REGIONAL, GLOBAL):
        listener = socket.create_server((ADDRESSES[host], 443))
        threading.Thread(target=accept, args=(listener, context, host, events),
                         daemon=True).start()
    # Ends with SIGINT, as the stage does.
    with contextlib.suppress(KeyboardInterrupt):
        serve.wait()


def watch_media(events):
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    while True:
        packet, address = packets.recvfrom(2048)
        if address[2] == socket.PACKET_OUTGOING or packet[9] != socket.IPPROTO_UDP:
            continue
        # RFC 7983: what a first byte means. RTCP's second byte is 192 to 223.
        data = packet[28:]
        if data[0] < 4:
            events.add('check')
        elif 20 <= data[0] < 64:
            events.add('DTLS')
        elif 128 <= data[0] < 192 and not 192 <= data[1] < 224:
            events.add('RTP')


def accept(listener, context, host, events):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve_connection, args=(connection, context, host, events),
                         daemon=True).start()


def serve_connection(connection, context, host, events):
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(connection, server_side=True) as client:
            stream = client.makefile('rb')
            while line := stream.readline().decode():
                method, path, _ = line.split(' ')
                headers = http.client.parse_headers(stream)
                body = stream.read(int(headers.get('Content-Length', 0)))
                events.add(f'{method} {host}')
                client.sendall(forwarded(host, method, path, headers, body))
                events.add(f'replied {host}')
    except OSError:
        pass


def forwarded(host, method, path, headers, body):
    """The stage's reply, with the names in place of its addresses."""
    stage = http.client.HTTPConnection(*STAGE[host])
    stage.request(method, path, body, dict(headers))
    reply = stage.getresponse()
    head = [f'HTTP/1.1 {reply.status} {reply.reason}']
    head += [f'{name}: {value}' for name, value in reply.getheaders()]
    head = '\r\n'.join(head).replace('http://127.0.0.2:8081', f'https://{REGIONAL}')
    return head.encode() + b'\r\n\r\n' + reply.read()


def near(scratch, stage, runs):
    # `ip netns exec` gave this process mounts of its own.
    subprocess.run(['mount', '--bind', f'{scratch}/hosts', '/etc/hosts'], check=True)
    token = subprocess.run([stage, 'token', '--key-file', f'{scratch}/stage-key'],
                           check=True, capture_output=True, text=True).stdout.strip()
    environment = {
        **os.environ, 'IVS_STAGE_TOKEN': token, 'SSL_CERT_FILE': f'{scratch}/certificate',
        'GST_PLUGIN_PATH': scratch, 'GST_DEBUG': 'ivswhipsink:5', 'GST_DEBUG_NO_COLOR': '1'}
    # The first run fills GStreamer's registry.
    parts = [one_run(scratch, environment) for _ in range(int(runs) + 1)][1:]
    print('   '.join(f'{part:>5}' for part in PARTS))
    for run in [*parts, [statistics.median(times) for times in zip(*parts)]]:
        print('   '.join(f'{milliseconds:5.0f}' for milliseconds in run))


def one_run(scratch, environment):
    began = time.monotonic()
    launch = subprocess.Popen(['gst-launch-1.0', '-e', *PIPELINE.split()], env=environment,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    threading.Timer(SECONDS, launch.send_signal, [2]).start()
    offers, log = [], []
    for line in launch.stderr:
        log.append(line)
        if re.search(r'> offer:', line):
            offers.append(time.monotonic())
    launch.wait()
    with open(f'{scratch}/events', encoding='ascii') as lines:
        events = [json.loads(line) for line in lines]
    names = (f'POST {REGIONAL}', f'replied {REGIONAL}', 'check', 'DTLS', 'RTP')
    firsts = [next((at for at, name in events if name == wanted and at > began), None)
              for wanted in names]
    if not offers or None in firsts:
        sys.exit(f'not published: {firsts}\n{"".join(log)}')
    return [(at - began) * 1e3 for at in (offers[0], *firsts)]


if __name__ == '__main__':
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sides = {'far': far, 'near': near}
    side = sides.get(sys.argv[1])
    if side:
        side(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
