#!/usr/bin/python3
"""Runs two commands at the two ends of a wire with a rate, a queue, a delay and loss.

    scripts/wire.py [options] -- FAR COMMAND ::: NEAR COMMAND

For instance 4 Mbit/s that narrow to 1 for 20 seconds, with a round trip of 50 ms:

    scripts/wire.py --rate 4M --queue 200 --delay 25 --steps '20:1M 40:4M' \\
        --log wire.json --port 8080 -- \\
        target/debug/ivs-stage serve --port 8080 --events events.json ::: \\
        timeout -s INT 60 gst-launch-1.0 -e ... ivswhipsink whip-endpoint=http://127.0.0.1:8080

Each command runs in a network namespace of its own, near at 10.77.0.1 and far at
10.77.0.2. Near, all other addresses lead over the wire too, those of 127.0.0.0/8
included: 127.0.0.1 is the far end's. The wire ends with the near command and then
ends the far one; Ctrl-C ends both. It exits with the near command's code.

Settings, the same for both directions:

    --rate R     bits per second, such as 800k or 4M; 0, the default: no limit
    --queue MS   milliseconds of the rate that wait at most; later packets are
                 dropped (default: 200)
    --delay MS   one way (default: 0)
    --loss P     per cent of the packets, at random (default: 0)

    --steps 'SECOND:SETTING[,SETTING] ...'
                 changes, such as '20:1M 30:rate=4M,loss=2', in seconds from the
                 start of the near command
    --seed N     of the losses (default: 1)
    --port N     start the near command once the far one listens on this TCP port
    --log FILE   one JSON line per second, `up` from near to far and `down` back:
                 bytes of IP packets offered, passed, dropped by the queue and
                 lost; the longest and the median wait in the queue, and how late
                 the wire itself was at most, in milliseconds

A command changes the wire by a line such as `rate=1M,delay=50` to $WIRE_CONTROL.

Linux, as root. The kernel's own netem is missing in many, so the packets go through
this process, from one TUN device to another. Namespaces are named wire-PID-near and
-far, to be used with `ip netns exec`; those of a killed wire go at the next start.
"""

import argparse
import collections
import errno
import fcntl
import gc
import json
import os
import random
import re
import select
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

NEAR, FAR = '10.77.0.1', '10.77.0.2'
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
# Larger than the devices' MTU of 1500.
PACKET = 2048
# Packets of one direction in a row, so that the other one need not wait.
BURST = 32
START_BOUND, END_BOUND = 20, 10


def main():
    options = arguments()
    if os.geteuid() != 0:
        sys.exit('wire: network namespaces need root')
    remove_stale()
    scratch = scratch_of(os.getpid())
    os.mkdir(scratch, mode=0o700)
    near = far = None
    try:
        near, far = End('near'), End('far')
        near.lead_all_to(FAR)
        sys.exit(run(options, near, far, os.path.join(scratch, 'control')))
    except subprocess.CalledProcessError as error:
        sys.exit(f'wire: {" ".join(error.cmd)}: {error.stderr.strip()}')
    finally:
        for end in filter(None, (near, far)):
            end.remove()
        shutil.rmtree(scratch)


def arguments():
    words = sys.argv[1:]
    cut = words.index('--') if '--' in words else len(words)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        usage=argparse.SUPPRESS, allow_abbrev=False)
    for name in ('rate', 'queue', 'delay', 'loss', 'steps', 'seed', 'port', 'log'):
        parser.add_argument(f'--{name}', help=argparse.SUPPRESS)
    options = parser.parse_args(words[:cut])
    commands = words[cut + 1:]
    if commands.count(':::') != 1 or commands[0] == ':::' or commands[-1] == ':::':
        parser.error('expected -- FAR COMMAND ::: NEAR COMMAND')
    middle = commands.index(':::')
    options.far, options.near = commands[:middle], commands[middle + 1:]
    try:
        given = {name: getattr(options, name) for name in Settings.__slots__}
        options.settings = Settings()
        options.settings.change({name: text for name, text in given.items() if text})
        options.steps = steps(options.steps or '')
        options.port = int(options.port or 0)
    except ValueError as error:
        parser.error(str(error))
    return options


class Settings:
    __slots__ = ('rate', 'queue', 'delay', 'loss')

    def __init__(self):
        self.rate, self.queue, self.delay, self.loss = 0.0, 0.2, 0.0, 0.0

    def change(self, texts):
        for name, text in texts.items():
            if name == 'rate':
                self.rate = bits(text)
            elif name in ('queue', 'delay'):
                setattr(self, name, number(text) / 1e3)
            elif name == 'loss':
                self.loss = number(text) / 100
            else:
                raise ValueError(f'{name!r} is no setting: expected rate, queue, delay or loss')


def number(text):
    if not re.fullmatch(r'\d+(\.\d+)?', text):
        raise ValueError(f'{text!r} is no number')
    return float(text)


def bits(text):
    return number(text.rstrip('kM')) * {'k': 1e3, 'M': 1e6}.get(text[-1:], 1)


def changes(text):
    pairs = (word.rpartition('=') for word in text.strip().split(','))
    return {name or 'rate': value for name, _, value in pairs}


def steps(text):
    found = []
    for word in text.split():
        second, _, setting = word.partition(':')
        Settings().change(changes(setting))
        found.append((number(second), changes(setting)))
    return collections.deque(sorted(found, key=lambda step: step[0]))


def ip(*words):
    done = subprocess.run(['ip', *words], check=True, capture_output=True, text=True)
    return done.stdout


def remove_stale():
    for line in ip('netns', 'list').splitlines():
        name = line.split()[0]
        found = re.fullmatch(r'wire-(\d+)-(near|far)', name)
        if found and not os.path.exists(f'/proc/{found[1]}'):
            remove_namespace(name)
            shutil.rmtree(scratch_of(found[1]), ignore_errors=True)


def scratch_of(process):
    return os.path.join(tempfile.gettempdir(), f'wire-{process}')


def remove_namespace(name):
    """Also ends what a command has left running in it."""
    for process in ip('netns', 'pids', name).split():
        try:
            os.kill(int(process), signal.SIGKILL)
        except ProcessLookupError:
            pass
    ip('netns', 'del', name)


class End:
    """A namespace and the descriptor of the device in it."""

    def __init__(self, side):
        self.name = f'wire-{os.getpid()}-{side}'
        self.device = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        # Unlike the name, the device goes with its descriptor.
        made = fcntl.ioctl(self.device, TUNSETIFF,
                           struct.pack('16sH22x', b'wire%d', IFF_TUN | IFF_NO_PI))
        made = made[:16].rstrip(b'\0').decode()
        ip('netns', 'add', self.name)
        try:
            ip('link', 'set', made, 'netns', self.name, 'name', 'wire')
            address, peer = (NEAR, FAR) if side == 'near' else (FAR, NEAR)
            self.ip('address', 'add', address, 'peer', peer, 'dev', 'wire')
            # No packets of IPv6 itself, and no queue that drops before ours.
            self.ip('link', 'set', 'wire', 'addrgenmode', 'none', 'txqueuelen', '10000')
            self.ip('link', 'set', 'wire', 'up')
            self.ip('link', 'set', 'lo', 'up')
            self.execute('sh', '-c', 'echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet')
        except BaseException:
            self.remove()
            raise

    def ip(self, *words):
        ip('-netns', self.name, *words)

    def execute(self, *words):
        ip('netns', 'exec', self.name, *words)

    def lead_all_to(self, peer):
        self.ip('address', 'flush', 'dev', 'lo')
        self.ip('route', 'add', '127.0.0.0/8', 'via', peer, 'dev', 'wire')
        self.ip('route', 'add', 'default', 'via', peer, 'dev', 'wire')

    def start(self, command, control):
        """The command dies with this process, also if that is killed."""
        environment = {**os.environ, 'WIRE_CONTROL': control, 'WIRE_NEAR': NEAR, 'WIRE_FAR': FAR}
        process = subprocess.Popen(
            ['setpriv', '--pdeathsig', 'KILL', 'ip', 'netns', 'exec', self.name, *command],
            env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
        prefer(process)
        return process

    def listens(self, process, port):
        with open(f'/proc/{process.pid}/net/tcp', encoding='ascii') as sockets:
            lines = [line.split() for line in sockets][1:]
        return any(line[1].endswith(f':{port:04X}') and line[3] == '0A' for line in lines)

    def remove(self):
        os.close(self.device)
        remove_namespace(self.name)


def prefer(process):
    """Ahead of other sessions' work. Where the kernel groups processes by session, neither
    their own niceness nor another's idle class counts between sessions."""
    try:
        with open(f'/proc/{process.pid}/autogroup', 'w', encoding='ascii') as group:
            group.write('-20')
    except OSError as error:
        # Not all kernels group, nor do all containers let root change it.
        if error.errno not in (errno.ENOENT, errno.EPERM, errno.EACCES, errno.EROFS):
            raise


class Direction:
    """A queue, then the line: each packet takes its bits' time at the rate, and arrives
    a delay later."""

    def __init__(self, source, target, settings, chance):
        self.source, self.target = source, target
        self.settings, self.chance = settings, chance
        self.waiting, self.waiting_bytes = collections.deque(), 0
        self.line_free_at = 0.0
        self.under_way = collections.deque()
        self.clear()

    def clear(self):
        self.offered = self.passed = self.dropped = self.lost = 0
        self.waits, self.latest = [], 0.0

    def read(self):
        for _ in range(BURST):
            try:
                packet = os.read(self.source, PACKET)
            except BlockingIOError:
                return
            self.offered += len(packet)
            room = self.settings.rate * self.settings.queue / 8
            if self.settings.rate and self.waiting and self.waiting_bytes + len(packet) > room:
                self.dropped += len(packet)
            else:
                self.waiting.append((time.monotonic(), packet))
                self.waiting_bytes += len(packet)

    def step(self):
        """Moves what is due; returns when something will be, or None."""
        now = time.monotonic()
        while self.waiting and max(self.line_free_at, self.waiting[0][0]) <= now:
            self.send(*self.waiting.popleft())
        while self.under_way and self.under_way[0][0] <= now:
            self.deliver(now, *self.under_way.popleft())
        due = [self.under_way[0][0]] if self.under_way else []
        return min(due + [self.line_free_at] if self.waiting else due, default=None)

    def send(self, arrived, packet):
        self.waiting_bytes -= len(packet)
        begins = max(self.line_free_at, arrived)
        self.waits.append(begins - arrived)
        self.line_free_at = begins
        if self.settings.rate:
            self.line_free_at += len(packet) * 8 / self.settings.rate
        if self.chance.random() < self.settings.loss:
            self.lost += len(packet)
        else:
            # A shorter delay than before reorders nothing.
            last = self.under_way[-1][0] if self.under_way else 0.0
            due = max(self.line_free_at + self.settings.delay, last)
            self.under_way.append((due, packet))

    def deliver(self, now, due, packet):
        self.latest = max(self.latest, now - due)
        try:
            os.write(self.target, packet)
            self.passed += len(packet)
        except OSError as error:
            # The other end's device is going away, or has no room.
            if error.errno not in (errno.EIO, errno.EAGAIN, errno.ENOBUFS):
                raise
            self.lost += len(packet)

    def line(self):
        counts = {name: getattr(self, name) for name in ('offered', 'passed', 'dropped', 'lost')}
        waits = self.waits or [0.0]
        told = {**counts, 'queue_ms': round(max(waits) * 1e3, 1),
                'median_ms': round(statistics.median(waits) * 1e3, 1),
                'late_ms': round(self.latest * 1e3, 2)}
        self.clear()
        return told


class Relay:
    """Carries packets until told otherwise, and changes the settings on the way."""

    def __init__(self, options, near, far, control):
        self.settings, self.steps = options.settings, options.steps
        chance = random.Random(int(options.seed or 1))
        self.up = Direction(near.device, far.device, self.settings, chance)
        self.down = Direction(far.device, near.device, self.settings, chance)
        os.mkfifo(control)
        self.control = os.open(control, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.log = open(options.log, 'w', encoding='ascii') if options.log else None
        self.began, self.second = time.monotonic(), 0

    def began_near(self):
        self.began, self.second = time.monotonic(), 0
        self.up.clear()
        self.down.clear()

    def turn(self, wake):
        """Sleeps until something is due or `wake` has bytes."""
        directions = (self.up, self.down)
        due = [*filter(None, (direction.step() for direction in directions)), self.tick()]
        pause = max(0, min(due) - time.monotonic())
        ready, _, _ = select.select(
            [self.up.source, self.down.source, self.control, wake], [], [], pause)
        for direction in directions:
            if direction.source in ready:
                direction.read()
        if self.control in ready:
            self.obey(os.read(self.control, PACKET).decode())

    def tick(self):
        """Steps and log lines that are due; returns when the next one is."""
        now = time.monotonic() - self.began
        while self.steps and self.steps[0][0] <= now:
            self.settings.change(self.steps.popleft()[1])
        if now >= self.second + 1:
            self.second = int(now)
            if self.log:
                line = {'second': self.second, 'rate': int(self.settings.rate),
                        'up': self.up.line(), 'down': self.down.line()}
                print(json.dumps(line), file=self.log, flush=True)
        step = [self.steps[0][0]] if self.steps else []
        return self.began + min([self.second + 1, *step])

    def obey(self, text):
        for line in text.splitlines():
            try:
                self.settings.change(changes(line))
            except ValueError as error:
                print(f'wire: {line!r} was not understood: {error}', file=sys.stderr)


def run(options, near, far, control):
    relay = Relay(options, near, far, control)
    signals = Signals()
    # In time also on busy cores; what is started runs as usual.
    gc.disable()
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(10))
    processes = [far.start(options.far, control)]
    try:
        if options.port:
            deadline = time.monotonic() + START_BOUND
            while not far.listens(processes[0], options.port):
                relay.turn(signals.wake)
                if processes[0].poll() is not None or signals.told:
                    sys.exit('wire: the far command ended before it listened')
                if time.monotonic() > deadline:
                    sys.exit(f'wire: the far command does not listen on port {options.port}')
                time.sleep(0.01)
        relay.began_near()
        processes.append(near.start(options.near, control))
        while processes[1].poll() is None and not signals.told:
            relay.turn(signals.wake)
            signals.clear()
    finally:
        for process in reversed(processes):
            end(process, relay, signals)
    code = processes[1].returncode
    return code if code >= 0 else 128 - code


class Signals:
    """Wakes the relay when a command ends, or this process is told to."""

    def __init__(self):
        self.wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker)
        self.told = False
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.tell)

    def tell(self, *_):
        self.told = True

    def clear(self):
        try:
            os.read(self.wake, PACKET)
        except BlockingIOError:
            pass


def end(process, relay, signals):
    """Lets a command end in order, while the wire still carries what it sends."""
    for number, bound in ((signal.SIGINT, END_BOUND), (signal.SIGKILL, 1)):
        deadline = time.monotonic() + bound
        if process.poll() is None:
            os.killpg(process.pid, number)
        while process.poll() is None and time.monotonic() < deadline:
            relay.turn(signals.wake)
            signals.clear()


if __name__ == '__main__':
    main()
