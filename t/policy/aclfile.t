#!/usr/bin/python3
"""The same acl_file in Mosquitto and here: for each file, every user, topic and action must have the same outcome; what Mosquitto
refuses to start with is refused here. Mosquitto is asked over MQTT 5 (the reason in PUBACK; what arrives), we through explain."""

import concurrent.futures
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from gateway import BINARY, DEADLINE, free_port  # noqa: E402
from mqttraw import Client  # noqa: E402
from tap import diag, done, is_, ok, skip_all  # noqa: E402

MOSQUITTO = shutil.which('mosquitto', path=os.environ.get('PATH', '') + ':/usr/sbin:/usr/local/sbin')
SUPER = 'user super\ntopic #\ntopic $s/#\n'
CLIENTS = [(None, 'k1'), (None, 'k#2'), ('al', 'k3'), ('bo', 'k+4'), ('a/b', 'k5'), ('c+', 'k6'), ('al', 'k/7')]
TOPICS = ['a/b', 'a/c', 'a', 'a/b/c', '$s/x', 'u/al', 'u/a/b', 'c/k3/x', 'c/k/7', 'al/k3', 'with blank', '/a', 'a/']

FILES = {
    'sections': 'topic read a/#\nuser al\ntopic a/b\ntopic deny a/b/c\ntopic write $s/#\nuser bo\ntopic readwrite +/b\nuser al\ntopic read a/c\n',
    'patterns': 'pattern read u/%u\npattern write c/%c/#\npattern readwrite %u/%c\nuser bo\ntopic read a\n',
    'denials': 'topic deny a/b\ntopic #\nuser al\ntopic #\ntopic deny a/+\npattern deny u/%u\npattern #\n',
    'section before pattern': 'user al\ntopic write a/b\nuser c+\ntopic a/#\npattern deny a/b\npattern read +/b\npattern u/%u/#\n',
    'blanks and comments': '# first\n\nuser   al  \ntopic   read   with blank  \n#user bo\ntopic write a/\ntopic /a\r\npattern  deny  u/%u',
    'dollar': 'topic #\nuser al\ntopic +/x\ntopic $s/+\nuser bo\ntopic #\npattern $s/#\n',
    'words': 'topic read\ntopic readwrite deny\nuser al\ntopic a/b\ntopic write write\n',
}

BAD = {
    'access': 'topic red a\n',
    'filter': 'topic read a/#/b\n',
    'plus': 'topic a+\n',
    'keyword': 'user a\ntopic a\nus',
    'no user': 'user\ntopic a\n',
    'no topic': 'topic\n',
    'tab': 'topic\tread a\n',
    'late comment': ' # x\ntopic a\n',
}


def random_file(rng):
    filters = ['a/b', 'a/+', '#', '+/b', 'a/#', '$s/#', '+', 'u/%u', 'c/%c/#', '%u/%c', 'a', '+/+/c', '/+', 'a/']
    lines = []
    for _ in range(rng.randrange(2, 14)):
        if rng.random() < 0.3:
            lines.append('user ' + rng.choice(['al', 'bo', 'a/b', 'c+']))
        access = rng.choice(['', 'read ', 'write ', 'readwrite ', 'deny '])
        lines.append(rng.choice(['topic ', 'topic ', 'pattern ']) + access + rng.choice(filters))
    return '\n'.join(lines) + '\n'


class Mosquitto:
    def __init__(self, where, text):
        self.port = free_port()
        with open(os.path.join(where, 'acl'), 'w', newline='') as f:
            f.write(text)
        with open(os.path.join(where, 'mosquitto.conf'), 'w') as f:
            f.write('listener %d 127.0.0.1\nallow_anonymous true\nacl_file %s\n' % (self.port, os.path.join(where, 'acl')))
            if os.getuid() == 0:
                f.write('user root\n')
        self.log = open(os.path.join(where, 'mosquitto.log'), 'w')
        self.process = subprocess.Popen([MOSQUITTO, '-c', os.path.join(where, 'mosquitto.conf')], stdout=self.log, stderr=self.log)

    def client(self, user, client_id):
        deadline = time.monotonic() + DEADLINE
        while True:  # until it listens
            try:
                c = Client(self.port, level=5)
                break
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                select_a_little()
        c.connect(client_id, user=user)
        return c

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(DEADLINE)
        self.log.close()


def select_a_little():
    """Between two attempts to connect: there is nothing to wait for."""
    time.sleep(0.01)


def theirs(text):
    """{(user, client id, topic, action): allowed}, as Mosquitto has it."""
    verdicts = {}
    with tempfile.TemporaryDirectory() as where, Mosquitto(where, text + '\n' * (not text.endswith('\n')) + SUPER) as broker:
        sender = broker.client('super', 'super')
        for user, client_id in CLIENTS:
            c = broker.client(user, client_id)
            c.subscribe('#', check=False)
            c.subscribe('$s/#', check=False)
            for topic in TOPICS:
                reason = c.publish(topic, b'mine', qos=1).reason
                verdicts[user, client_id, topic, 'publish'] = (reason or 0) < 0x80
                sender.publish(topic, b'theirs', qos=1)
            c.send(b'\xc0\x00')
            got = set()
            while True:
                p = c.read()
                if p.type == 'PINGRESP':
                    break
                if p.type == 'PUBLISH' and p.payload == b'theirs':
                    got.add(p.topic)
            for topic in TOPICS:
                verdicts[user, client_id, topic, 'subscribe'] = topic in got
            c.close()
        sender.close()
    return verdicts


def write_ours(where, text):
    with open(os.path.join(where, 'aclfile'), 'w', newline='') as f:
        f.write(text)
    with open(os.path.join(where, 'test.conf'), 'w') as f:
        f.write('policy { unknown_realm global; }\nmqtt { listen 127.0.0.1:1883 plain; acl_file aclfile; }\n')


def run(where, *args):
    return subprocess.run([BINARY, '-p', where, '-c', 'test.conf', *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=DEADLINE)


def ours(text, questions):
    with tempfile.TemporaryDirectory() as where:
        write_ours(where, text)

        def ask(q):
            user, client_id, topic, action = q
            answer = run(where, 'explain', '--identity', user or 'anonymous', '--client-id', client_id, '--topic', topic, '--do', action,
                         '--json')
            if answer.returncode != 0:
                raise RuntimeError('explain failed: ' + answer.stderr)
            return q, json.loads(answer.stdout)['allowed']

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return dict(pool.map(ask, questions))


def compare(name, text):
    want = theirs(text)
    got = ours(text, want)
    wrong = [q for q in want if want[q] != got[q]]
    if not ok(not wrong, '%s: %d questions, %d allowed' % (name, len(want), sum(want.values()))):
        diag(text)
        for q in wrong[:10]:
            diag('%s: Mosquitto %s, here %s' % (q, want[q], got[q]))


def refused(name, text):
    with tempfile.TemporaryDirectory() as where:
        with Mosquitto(where, text) as broker:
            try:
                their_exit = broker.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                their_exit = 0
        write_ours(where, text)
        mine = run(where, '-t')
        ok(their_exit != 0, '%s: Mosquitto does not start' % name)
        is_(mine.returncode, 3, '%s: nor do we' % name)
        ok('aclfile:' in mine.stderr + mine.stdout, '%s: and the line is named' % name)


if MOSQUITTO is None:
    skip_all('there is no mosquitto here')
for name, text in FILES.items():
    compare(name, text)
for seed in range(int(os.environ.get('TEST_ACLFILES', '3'))):
    compare('random file %d' % seed, random_file(random.Random(seed)))
for name, text in BAD.items():
    refused(name, text)
for name, text in {'empty': '', 'comments only': '# nothing\n', 'NUL': 'topic a\n\0\n'}.items():
    with tempfile.TemporaryDirectory() as where:
        write_ours(where, text)
        is_(run(where, '-t').returncode, 3, '%s: refused, never taken for "no rule"' % name)
with tempfile.TemporaryDirectory() as where:
    write_ours(where, 'topic a\n')
    os.unlink(os.path.join(where, 'aclfile'))
    is_(run(where, '-t').returncode, 3, 'a file that is not there')
done()
