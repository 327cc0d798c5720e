#!/usr/bin/python3
"""explain from a file: what it prints, as text and as JSON; and that no verdict depends on the order of statements."""

import json
import os
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from gateway import BINARY, DEADLINE  # noqa: E402
from tap import done, is_, like, ok  # noqa: E402

CONF = '''policy {
    max_payload    64k  floor;
    rate           500/s burst=1000;
    unknown_realm  deny;
    allow operator subscribe "$SYS/#";
}
group ground gcs ~^station-[0-9]+$;
realm fleet {
    topics "/health/#" "/algo/#" "/policy/#" "/rl/#";
    allow drone      publish   "/health/%i" "/algo/ack";
    allow @ground    subscribe "/algo/desired" "/policy/#";
    allow controller any       "/algo/desired" "/rl/log";
    deny  *          publish   "/policy/#";
    topic "/health/#" { rate 2/s burst=4; }
    topic "/algo/+/log" { allow %1 publish "/algo/%1/log"; }
}
realm inner { topics "/algo/inner/#"; allow drone any "#"; }
'''


def explain(where, identity, topic, do='publish', *more):
    return subprocess.run([BINARY, '-p', where, '-c', 'test.conf', 'explain', '--identity', identity, '--topic', topic, '--do', do, *more],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=DEADLINE)


def write(where, text):
    with open(os.path.join(where, 'test.conf'), 'w') as f:
        f.write(text)


def verdict_part(text):
    """The lines before the values: those of other modules' values are theirs to test."""
    return text.split('values in force\n')[0]


def goldens(where):
    write(where, CONF)
    r = explain(where, 'drone', '/rl/log')
    is_(r.returncode, 0, 'explain says what it knows')
    is_(verdict_part(r.stdout),
        'publish /rl/log by drone: DENIED\n'
        '  no allow rule matches            realm fleet        test.conf:8\n'
        '  nearest: allow controller any "/rl/log"             test.conf:12\n', 'a denial, and what comes nearest')
    like(r.stdout, r'(?m)^  max_payload  +64k +global +test\.conf:2 +floor$', 'a value with its floor')
    is_(verdict_part(explain(where, 'controller', '/rl/log').stdout),
        'publish /rl/log by controller: ALLOWED\n'
        '  allow controller any "/rl/log"   realm fleet        test.conf:12\n', 'a permission')
    is_(verdict_part(explain(where, 'controller', '/policy/x').stdout),
        'publish /policy/x by controller: DENIED\n'
        '  deny * publish "/policy/#"       realm fleet        test.conf:13\n', 'a rule that forbids')
    is_(verdict_part(explain(where, 'drone', '/helth/drone').stdout),
        'publish /helth/drone by drone: DENIED\n'
        '  no realm claims the topic        global             test.conf:4\n'
        '  nearest: realm fleet topics "/health/#"             test.conf:9\n', 'a topic of no realm')
    is_(verdict_part(explain(where, 'bob', '/algo/bob/log').stdout),
        'publish /algo/bob/log by bob: ALLOWED\n'
        '  allow %1 publish "/algo/%1/log"  topic /algo/+/log  test.conf:15\n', 'a rule that refers to the block')
    is_(verdict_part(explain(where, 'station-3', '/algo/#', 'subscribe').stdout),
        'subscribe /algo/# by station-3: ALLOWED in part, every delivery is judged\n'
        '  allow @ground subscribe "/algo/desired"  realm fleet  test.conf:11\n', 'a filter')
    like(explain(where, 'drone', '/health/drone').stdout,
         r'(?m)^  rate +2/s burst=4 +topic /health/# +test\.conf:14 +over 500/s burst=1000 test\.conf:3$', 'what a value overrode')
    j = json.loads(explain(where, 'drone', '/health/drone', 'publish', '--json').stdout)
    is_((j['allowed'], j['rule'], j['level'], j['where'], j['realm'], j['topics']),
        (True, 'allow drone publish "/health/%i"', 'realm fleet', 'test.conf:10', 'fleet', ['/health/#']), 'JSON')
    rate = [v for v in j['values'] if v['name'] == 'rate'][0]
    is_((rate['value'], rate['where'], rate['over'][0]['where']), ('2/s burst=4', 'test.conf:14', 'test.conf:3'), 'with the values')


def shuffled(text, rng):
    """The same statements, in any order, block by block."""
    def block(lines):
        items = []
        while lines:
            line = lines.pop(0)
            if line.strip() == '}':
                break
            if line.rstrip().endswith('{'):
                items.append(line + block(lines) + '}\n')
            else:
                items.append(line)
        rng.shuffle(items)
        return ''.join(items)
    return block(text.splitlines(keepends=True))


def verdicts(where):
    out = {}
    for identity in ('drone', 'gcs', 'controller', 'bob', 'operator', 'anonymous'):
        for topic in ('/health/drone', '/algo/desired', '/algo/bob/log', '/policy/x', '/algo/inner/x', '$SYS/x', '/none'):
            for do in ('publish', 'subscribe'):
                j = json.loads(explain(where, identity, topic, do, '--json').stdout)
                out[identity, topic, do] = (j['allowed'], j['realm'], j['topics'], [(v['name'], v['value']) for v in j['values']])
    return out


with tempfile.TemporaryDirectory() as directory:
    goldens(directory)
    before = verdicts(directory)
    ok(any(v[0] for v in before.values()) and not all(v[0] for v in before.values()), 'some are allowed, some denied')
    for seed in range(2):
        write(directory, shuffled(CONF, random.Random(seed)))
        is_({q: v for q, v in verdicts(directory).items() if v != before[q]}, {}, 'order %d makes no difference' % seed)
    write(directory, CONF)
    is_(explain(directory, 'drone', '/a/+').returncode, 2, 'no wildcard where something is published')
    is_(explain(directory, '', '/a').returncode, 2, 'nobody is no identity')
done()
