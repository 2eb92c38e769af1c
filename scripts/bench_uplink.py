#!/usr/bin/python3
"""Publishes to a local stage over a wire that gets worse for a while, and tells
what arrives.

    scripts/bench_uplink.py [options]

    --scenario NAMES  what the wire does, comma-separated (default: all)
    --who NAMES       who follows the network's rate, comma-separated (default: all)
    --feedback KIND   what the stage tells the publisher (see ivs-stage --help;
                      default: twcc)
    --runs N          runs of each; the table has the medians (default: 1)
    --steady, --narrow, --after N
                      seconds before the wire gets worse, while it is, and after
                      (default: 20, 20, 30; at least 8)
    --random MINUTES  instead of the scenarios: a wire with a new rate between 0.3
                      and 6 Mbit/s each 5 to 20 seconds, with x264enc; a line a
                      minute, with the publisher's resident memory
    --seed N          which random rates (default: 1)
    --list            the names

Linux, as root: see scripts/wire.py. What each run has logged stays in
target/bench-uplink/.

In the table a phase's first seconds have a row of their own, since no publisher
can know at once. Its columns:

    wire      kbit/s that the wire carries
    video     kbit/s of video packets that arrived, each counted once
    fps       frames per second that could be decoded
    gap       longest time without such a frame, in seconds
    frozen    part of the time in such gaps of more than 0.2 s, in per cent
    lost      video packets that were lost, in per cent; in brackets: before they
              were sent again
    sound     audio packets that were lost, in per cent
    again     kbit/s of retransmissions that arrived, needed or not
    sent      what the publisher sent, in per cent of the wire's rate; in brackets:
              the most in any two seconds
    queue     wait for the wire in milliseconds: the median, of the medians of the
              seconds; in brackets: the longest
    90 %      seconds until video was at 90 % of what it was before
"""

import argparse
import bisect
import json
import os
import random
import shlex
import shutil
import statistics
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILT = os.path.join(os.environ.get('CARGO_TARGET_DIR', os.path.join(ROOT, 'target')), 'debug')
LOGS = os.path.join(os.path.dirname(BUILT), 'bench-uplink')
COPIES = os.path.join(LOGS, 'built')

# Each as settings of the wire: before and after, and between.
SCENARIOS = {
    '4-1-4': ('rate=4M,queue=200,delay=25', 'rate=1M'),
    '4-0.3-4': ('rate=4M,queue=200,delay=25', 'rate=300k'),
    'loss-3': ('rate=8M,queue=200,delay=25,loss=0', 'loss=3'),
    'loss-1': ('rate=4M,queue=200,delay=25,loss=0', 'rate=2M,loss=1'),
    'queue-300': ('rate=4M,queue=300,delay=25', 'rate=1M'),
    'rtt-20': ('rate=4M,queue=200,delay=10', 'rate=1M'),
    'rtt-200': ('rate=4M,queue=200,delay=100', 'rate=1M'),
}

# A picture for which x264enc and openh264enc need 2.5 Mbit/s and can do with a
# tenth; the ball of the README's examples needs 0.2. Small, for slow machines.
PICTURE = ('pattern=zone-plate kx2=20 ky2=20 kt=1'
           ' ! video/x-raw,width=640,height=360,framerate=30/1')
X264 = ('x264enc tune=zerolatency speed-preset=ultrafast bitrate=2500 key-int-max=60'
        ' ! video/x-h264,profile=baseline')
OPENH264 = ('openh264enc rate-control=bitrate bitrate=2500000 gop-size=60 complexity=low'
            ' background-detection=false scene-change-detection=false')

RAW = f'videotestsrc is-live=true {PICTURE} ! queue'
PAY = 'rtph264pay config-interval=-1 aggregate-mode=zero-latency'

# The video of each, and properties of ivswhipsink. Those named raw-... are the element's
# own encoders.
WHO = {
    'x264enc': (f'{RAW} ! {X264} ! {PAY}', ''),
    'x264enc-1M': (f'{RAW} ! {X264.replace("2500", "1000")} ! {PAY}', ''),
    'openh264enc': (f'{RAW} ! {OPENH264} ! {PAY}', ''),
    'raw-x264enc': (RAW, 'video-encoder=x264enc max-bitrate=2500000'),
    'raw-openh264enc': (RAW, 'video-encoder=openh264enc max-bitrate=2500000'),
    'file': (f'filesrc location={{file}} ! matroskademux ! h264parse ! {PAY}', ''),
    'none': (f'{RAW} ! {X264} ! {PAY}', 'congestion-control=none'),
}

# Seconds to connect in, before the first phase; and those of a phase's first row.
CONNECT, FIRST = 5, 3
END_BOUND = 30

COLUMNS = ('wire', 'video', 'fps', 'gap', 'frozen', 'lost', 'sound', 'again', 'sent', 'queue',
           '90 %')


def main():
    options = arguments()
    if os.geteuid() != 0:
        sys.exit('bench-uplink: the wire needs root')
    take_copies()
    if options.random:
        return random_rates(options)
    if 'file' in options.who:
        make_file(options)
    for scenario in options.scenario:
        print(f'\n{scenario}: {describe(scenario)}; feedback: {options.feedback}; '
              f'{options.runs} run(s)', flush=True)
        table = [('who', 'phase', *COLUMNS)]
        for who in options.who:
            runs = [measure(options, scenario, who, run) for run in range(options.runs)]
            runs = [run for run in runs if run]
            table += [(who, *row) for row in medians(runs)]
        show(table)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        usage=argparse.SUPPRESS, allow_abbrev=False)
    numbers = {'runs': 1, 'steady': 20, 'narrow': 20, 'after': 30, 'random': 0, 'seed': 1}
    least = {'runs': 1, 'random': 0, 'seed': 0}
    for name in ('scenario', 'who', 'feedback', *numbers):
        parser.add_argument(f'--{name}', default='', help=argparse.SUPPRESS)
    parser.add_argument('--list', action='store_true', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.list:
        lines = [f'{name}: {describe(name)}' for name in SCENARIOS]
        print('\n'.join([*lines, f'who: {", ".join(WHO)}']))
        sys.exit()
    for name, known in (('scenario', SCENARIOS), ('who', WHO)):
        chosen = [word for word in getattr(options, name).split(',') if word] or list(known)
        setattr(options, name, chosen)
        for word in chosen:
            if word not in known:
                parser.error(f'{name} {word!r} is not known: expected {", ".join(known)}')
    for name, default in numbers.items():
        text = getattr(options, name) or str(default)
        if not text.isdecimal() or int(text) < least.get(name, FIRST + 5):
            parser.error(f'{name} {text!r} is no number, or too small')
        setattr(options, name, int(text))
    options.feedback = options.feedback or 'twcc'
    options.phases = (options.steady, options.narrow, options.after)
    return options


def describe(scenario):
    wide, narrow = SCENARIOS[scenario]
    return f'{wide}, meanwhile {narrow}'


def take_copies():
    """So that all runs are of the same build. GStreamer searches all below a plugin path."""
    os.makedirs(COPIES, exist_ok=True)
    for built in ('libgstivs.so', 'ivs-stage'):
        shutil.copy(os.path.join(BUILT, built), COPIES)
    os.environ['GST_PLUGIN_PATH'] = COPIES


def file_of(options):
    return os.path.join(LOGS, f'pass-through-{CONNECT + sum(options.phases)}.mkv')


def make_file(options):
    """As long as a run, and some seconds."""
    file = file_of(options)
    if os.path.exists(file):
        return
    frames = (CONNECT + sum(options.phases) + 10) * 30
    launch = (f'gst-launch-1.0 -q videotestsrc num-buffers={frames} {PICTURE}'
              f' ! {X264} ! h264parse ! matroskamux ! filesink location={file}.part')
    subprocess.run(shlex.split(launch), check=True)
    os.rename(f'{file}.part', file)


def measure(options, scenario, who, run):
    """The rows of one run, or None if it can't be."""
    video, properties = WHO[who]
    if properties and not has_property(properties.split('=')[0]):
        print(f'bench-uplink: {who} is left out: ivswhipsink has no property '
              f'{properties.split("=")[0]}', file=sys.stderr)
        return None
    logs = os.path.join(LOGS, f'{scenario}-{who}-{run}')
    shutil.rmtree(logs, ignore_errors=True)
    os.makedirs(logs)
    wide, narrow = SCENARIOS[scenario]
    begin = CONNECT + options.steady
    steps = f'{begin}:{narrow} {begin + options.narrow}:{wide}'
    video = video.format(file=file_of(options))
    seconds = CONNECT + sum(options.phases)
    code = publish(options, (wide, steps, seconds), video, properties, logs)
    if code not in (0, 124):
        print(f'bench-uplink: {logs}: exit code {code}', file=sys.stderr)
    return rows(options, Log(logs))


def has_property(name):
    told = subprocess.run(['gst-inspect-1.0', 'ivswhipsink'], capture_output=True, text=True)
    if told.returncode:
        sys.exit(f'bench-uplink: gst-inspect-1.0 ivswhipsink: {told.stderr.strip()}')
    return any(line.split()[:1] == [name] for line in told.stdout.splitlines())


def publish(options, wire, video, properties, logs):
    """A whole session over the wire. Each end notes when it began."""
    settings, steps, seconds = wire
    key, stage = os.path.join(logs, 'key'), os.path.join(COPIES, 'ivs-stage')
    token = subprocess.run([stage, 'token', '--key-file', key], check=True, capture_output=True)
    far = (f'{stage} serve --port 8080 --regional-port 8081 --media-address 10.77.0.2'
           f' --key-file {key} --feedback {options.feedback} --events {logs}/events')
    near = (f'timeout --foreground -k 10 -s INT {seconds} gst-launch-1.0 -e -m'
            f' ivswhipsink name=whip whip-endpoint=http://127.0.0.1:8080/ {properties}'
            f' {video} ! whip.'
            ' audiotestsrc is-live=true ! opusenc ! rtpopuspay ! whip.')
    settings = [f'--{setting}' for setting in settings.split(',')]
    wire = [os.path.join(ROOT, 'scripts', 'wire.py'), *settings, '--steps', steps, '--port', '8080',
            '--log', f'{logs}/wire', '--', *timed(far, f'{logs}/far'), ':::',
            *timed(near, f'{logs}/near')]
    environment = {**os.environ, 'IVS_STAGE_TOKEN': token.stdout.decode().strip()}
    with open(f'{logs}/output', 'wb') as output:
        done = subprocess.run(wire, env=environment, stdout=output, stderr=output,
                              timeout=seconds + END_BOUND)
    return done.returncode


def random_rates(options):
    """Publishes for minutes over a wire whose rate changes, and tells of each minute."""
    chosen, seconds = random.Random(options.seed), CONNECT + 60 * options.random
    steps, at = [], CONNECT
    while at < seconds:
        steps.append(f'{at}:rate={chosen.randint(300, 6000)}k')
        at += chosen.randint(5, 20)
    logs = os.path.join(LOGS, f'random-{options.seed}')
    shutil.rmtree(logs, ignore_errors=True)
    os.makedirs(logs)
    memory = {}
    watch = threading.Thread(target=watch_memory, args=(f'{logs}/near.pid', memory), daemon=True)
    watch.start()
    video, properties = WHO['x264enc']
    wire = ('rate=4M,queue=200,delay=25', ' '.join(steps), seconds)
    code = publish(options, wire, video, properties, logs)
    log = Log(logs)
    table = [('minute', '', 'wire', 'video', 'fps', 'gap', 'lost', 'sound', 'sent', 'resident kB')]
    spans = [(str(number + 1), CONNECT + 60 * number, 60) for number in range(options.random)]
    for name, begin, length in [*spans, ('all', CONNECT, 60 * options.random)]:
        row = numbers(log, begin, begin + length)
        row['wire'] = statistics.fmean(line['rate'] for line in log.lines(begin, begin + length)) / 1e3
        cells = [number(column, row[column]) for column in ('wire', 'video', 'fps', 'gap')]
        sent = statistics.fmean(line['up']['offered'] * 8e-3 for line in log.lines(begin, begin + length))
        cells += [number('lost', row['lost'][0]), number('sound', row['sound']), f'{sent:.0f}']
        table.append((name, '', *cells, str(memory.get(int((begin + length) / 60), ''))))
    print(f'seed {options.seed}, {options.random} minutes; exit code {code}; '
          f'sessions: {log.sessions}')
    show(table)


def watch_memory(file, memory):
    """Notes the resident kB of the publisher by the minute."""
    began = time.monotonic()
    while True:
        time.sleep(5)
        try:
            parent = open(file).read().strip()
            child = open(f'/proc/{parent}/task/{parent}/children').read().split()[0]
            status = open(f'/proc/{child}/status').read()
        except (OSError, IndexError):
            continue
        resident = [line.split()[1] for line in status.splitlines() if line.startswith('VmRSS')]
        memory[int((time.monotonic() - began) / 60)] = resident[0]


def timed(command, file):
    script = f'date +%s.%N >{file}; echo $$ >{file}.pid; exec "$@"'
    return ['sh', '-c', script, 'sh', *shlex.split(command)]


class Log:
    """What the wire and the stage have told, by the seconds since the publisher's start."""

    def __init__(self, logs):
        began = {side: float(open(f'{logs}/{side}').read()) for side in ('near', 'far')}
        offset = began['far'] - began['near']
        self.wire = [json.loads(line) for line in open(f'{logs}/wire')]
        self.times, self.counts = [], []
        sessions = {}
        for event in map(json.loads, open(f'{logs}/events')):
            if event['event'] in ('media', 'ended'):
                sessions[event['session']] = event['sections']
                self.times.append(event['at_ms'] / 1e3 + offset)
                self.counts.append([one for sections in sessions.values() for one in sections])
        self.sessions = len(sessions)

    def counts_at(self, second, kind):
        """The sums of the last counts, and their time."""
        place = bisect.bisect_right(self.times, second + 0.5) - 1
        sections = [one for one in self.counts[place] if one['kind'] == kind] if place >= 0 else []
        names = ('packets', 'bytes', 'lost', 'repaired', 'retransmitted_bytes')
        sums = {name: sum(one[name] for one in sections) for name in names}
        frames = [one['frames'] for one in sections if one['frames']]
        for name in ('decodable', 'frozen_ms'):
            sums[name] = sum(one[name] for one in frames)
        return sums, self.times[place] if place >= 0 else second

    def between(self, begin, end, kind):
        before, since = self.counts_at(begin, kind)
        after, until = self.counts_at(end, kind)
        return {name: after[name] - before[name] for name in after}, max(until - since, 0.001)

    def longest_gap(self, begin, end):
        """In seconds; of a gap that was open before, what is in this time."""
        gaps = [min(one['frames']['recent_gap_ms'] / 1e3, at - begin)
                for at, counts in zip(self.times, self.counts) if begin + 0.5 < at <= end + 0.5
                for one in counts if one['frames']]
        return max(gaps, default=end - begin)

    def lines(self, begin, end):
        return [line for line in self.wire if begin < line['second'] <= end]


def rows(options, log):
    """A row for each phase's first seconds and one for the rest, as numbers."""
    steady, narrow, after = options.phases
    wide = CONNECT + steady + narrow
    found = [('before', numbers(log, CONNECT, CONNECT + steady))]
    for name, begin, end in (('worse', wide - narrow, wide), ('after', wide, wide + after)):
        found.append((f'{name}, first {FIRST} s', numbers(log, begin, begin + FIRST)))
        found.append((name, numbers(log, begin + FIRST, end)))
    found[-1][1]['90 %'] = recovery(log, found[0][1]['video'], wide, wide + after)
    return found


def numbers(log, begin, end):
    video, seconds = log.between(begin, end, 'video')
    audio, _ = log.between(begin, end, 'audio')
    lines = log.lines(begin, end)
    # A line at a step has the new rate.
    rate = lines[0]['rate'] / 1e3 if lines else 0
    sent = [line['up']['offered'] * 8 / 1e3 for line in lines]
    most = max((sum(pair) / 2 for pair in zip(sent, sent[1:])), default=0)
    kbits = {name: video[name] * 8 / 1e3 / seconds for name in ('bytes', 'retransmitted_bytes')}
    expected = max(video['packets'] + video['lost'], 1)
    return {
        'wire': rate,
        'video': kbits['bytes'],
        'fps': video['decodable'] / seconds,
        'gap': log.longest_gap(begin, end),
        'frozen': min(100, video['frozen_ms'] / 10 / seconds),
        # What came late was lost in the row before.
        'lost': (max(0, 100 * video['lost'] / expected),
                 max(0, 100 * (video['lost'] + video['repaired']) / expected)),
        'sound': max(0, 100 * audio['lost'] / max(audio['packets'] + audio['lost'], 1)),
        'again': kbits['retransmitted_bytes'],
        'sent': (100 * statistics.fmean(sent or [0]) / rate, 100 * most / rate) if rate else (0, 0),
        'queue': (statistics.median([line['up']['median_ms'] for line in lines] or [0]),
                  max([line['up']['queue_ms'] for line in lines] or [0])),
        '90 %': None,
    }


def recovery(log, goal, begin, end):
    for second in range(begin + 1, end - 1):
        video, seconds = log.between(second - 1, second + 1, 'video')
        if video['bytes'] * 8 / 1e3 / seconds >= 0.9 * goal:
            return second - begin
    return float('inf')


def medians(runs):
    """The rows of several runs as one, as text."""
    for place, (phase, _) in enumerate(runs[0] if runs else []):
        cells = []
        for column in COLUMNS:
            values = [run[place][1][column] for run in runs]
            if isinstance(values[0], tuple):
                first, second = (statistics.median(part) for part in zip(*values))
                cells.append(f'{number(column, first)} ({number(column, second)})')
            elif values[0] is None:
                cells.append('')
            else:
                cells.append(number(column, statistics.median(values)))
        yield phase, *cells


def number(column, value):
    if value == float('inf'):
        return 'never'
    return f'{value:.1f}' if column in ('fps', 'gap', 'lost', 'sound') else f'{value:.0f}'


def show(table):
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    for row in table:
        texts = [text.ljust(width) if place < 2 else text.rjust(width)
                 for place, (text, width) in enumerate(zip(row, widths))]
        print('  '.join(texts).rstrip(), flush=True)


if __name__ == '__main__':
    main()
