"""The demo fleet under load, for the tests that cut across everything: t/clients, t/reload, t/crash, t/upgrade, t/hostile.

    from fleet import Fleet, Traffic, until

    fleet = Fleet(workers=2)                          # serving; drone, gcs, controller, operator have certificates
    c = fleet.client('controller', 'c-1', level=5)    # connected (mqttraw.Client)
    fleet.edit('allow controller subscribe "/health/#"', 'allow controller subscribe')
    fleet.reload()                                    # exit code 0 or it raises
    traffic = Traffic(fleet, publishers=4, subscribers=4)
    ...
    traffic.finish()                                  # all that was acknowledged has come, or the deadline passes
    fleet.done()                                      # stops it, checks the log, prints the plan

Nothing here sleeps for a fixed time: until() polls for an event up to a deadline.
"""

import atexit
import json
import os
import random
import re
import shutil
import signal
import ssl
import subprocess
import threading
import time

import mqttraw
import tap
from gateway import Gateway

WAIT_S = 30  # for one event; CI machines are slow, sanitizers slower

POLICY = '''
    max_qos      1;
    retain       on;
    max_payload  64k;
    rate         off;
    unknown_realm deny;
    allow operator subscribe "$SYS/#";
'''

REALM = '''
    topics "/health/#" "/ddos/#" "/algo/#" "/policy/#" "/rl/#" "/load/#" "/will/#";

    allow drone publish "/health/%i" "/algo/phase/%i" "/algo/ack" "/load/#" "/will/#" "/ddos/#";
    allow drone subscribe "/algo/desired" "/policy/#" "/load/#";
    allow gcs publish "/health/%i" "/algo/ack" "/load/#" "/will/#";
    allow gcs subscribe "/algo/desired" "/load/#" "/will/#";
    allow controller subscribe "/health/#" "/ddos/#" "/algo/#" "/load/#" "/will/#" "/policy/#";
    allow controller publish "/algo/desired" "/policy/#" "/rl/log" "/load/#";
    allow operator subscribe "/health/#" "/load/#";
'''

CONF = '''worker_processes  {workers};
error_log         stderr info;
data_dir          data;
{main}
trust fleet {{
    ca           {pki}/ca.crt;
    certificate  {pki}/gateway.crt;
    key          {pki}/gateway.key;
    crl          {pki}/ca.crl;
{trust}}}

policy {{{policy}}}

mqtt {{
    listen 127.0.0.1:{port} trust=fleet identity=cn;
{mqtt}}}

realm fleet {{{realm}}}
{more}'''


class Late(AssertionError):
    """The deadline passed."""


def until(condition, what, seconds=WAIT_S, every=0.02):
    """Polls until condition() is true and returns its value; raises Late after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Late('not within %d s: %s' % (seconds, what))
        time.sleep(every)


def workers_wanted():
    """How many workers where the test does not say: TEST_WORKERS, or 2."""
    return int(os.environ.get('TEST_WORKERS', '2') or 2)


# ---- processes ----

def alive(pid):
    """Whether the process is there and no zombie."""
    try:
        with open('/proc/%d/stat' % pid, encoding='ascii', errors='replace') as file:
            return file.read().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except (FileNotFoundError, ProcessLookupError):
        return False


def rss_bytes(pid):
    """Resident memory."""
    with open('/proc/%d/status' % pid, encoding='ascii', errors='replace') as file:
        found = re.search(r'^VmRSS:\s+(\d+) kB', file.read(), re.M)
    return int(found.group(1)) * 1024 if found else 0


def kill(pid):
    """kill -9 of a process that a gateway of ours started; returns when it is gone."""
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), 'the end of process %d' % pid)


def _inode_of(local_port, remote_port):
    """The inode of the server's end of a connection over loopback, None if it cannot be found."""
    for table in ('/proc/net/tcp', '/proc/net/tcp6'):
        try:
            with open(table, encoding='ascii') as file:
                lines = file.read().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if int(words[1].rsplit(':', 1)[1], 16) == local_port and int(words[2].rsplit(':', 1)[1], 16) == remote_port:
                return words[9]
    return None


def _holds(pid, inode):
    try:
        for name in os.listdir('/proc/%d/fd' % pid):
            try:
                if os.readlink('/proc/%d/fd/%s' % (pid, name)) == 'socket:[%s]' % inode:
                    return True
            except OSError:
                continue
    except OSError:
        pass
    return False


# ---- the gateway and its clients ----

class Fleet:
    """A gateway that serves the demo fleet. Texts given here go into the configuration at their places."""

    def __init__(self, workers=None, policy=POLICY, realm=REALM, mqtt='', trust='', main='', more='', name='fleet', start=True):
        self.workers = workers or workers_wanted()
        self.gateway = Gateway(name=name)
        self.port = self.gateway.port
        self.dir = self.gateway.dir
        atexit.register(shutil.rmtree, self.dir, True)
        self.clients = []
        self._count = 0
        self.conf = CONF.format(workers=self.workers, main=main, trust=trust, policy=policy, mqtt=mqtt, realm=realm, more=more,
                                port=self.port, pki='pki')
        self.write_conf(self.conf)
        if start:
            self.start()

    # -- files --

    def path(self, *parts):
        """A path under the prefix."""
        return os.path.join(self.dir, *parts)

    def read(self, *parts):
        """A file under the prefix, as bytes."""
        with open(self.path(*parts), 'rb') as file:
            return file.read()

    def write(self, name, data):
        """Replaces a file under the prefix in one step, as a careful operator does."""
        path = self.path(name)
        with open(path + '.new', 'wb') as file:
            file.write(data.encode() if isinstance(data, str) else data)
        if os.path.exists(path):
            os.chmod(path + '.new', os.stat(path).st_mode & 0o777)
        os.rename(path + '.new', path)

    def write_conf(self, text):
        """The configuration, from the next start or reload on."""
        self.conf = text
        self.write('conf/sallyport.conf', text)

    def edit(self, old, new):
        """Replaces a part of the configuration, which must be there exactly once."""
        if self.conf.count(old) != 1:
            raise AssertionError('%r is in the configuration %d times' % (old, self.conf.count(old)))
        self.write_conf(self.conf.replace(old, new))

    def line_of(self, text):
        """The number of the configuration's line that holds this text."""
        found = [number for number, line in enumerate(self.conf.split('\n'), 1) if text in line]
        if len(found) != 1:
            raise AssertionError('%r is in %d lines of the configuration' % (text, len(found)))
        return found[0]

    def where(self, text):
        """A pattern for how messages name that line."""
        return r'sallyport\.conf:%d\b' % self.line_of(text)

    def log(self):
        """The error log so far."""
        return self.gateway.log()

    # -- commands --

    def start(self):
        """Starts it and waits until it serves."""
        self.gateway.start()

    def start_again(self):
        """Starts another one with the same files at once, whatever is left of the first, which must end by itself then."""
        first, self.gateway = self.gateway, Gateway(name=self.gateway.name + ', started again', pki=False)
        os.rmdir(self.gateway.path('conf'))
        os.rmdir(self.gateway.prefix)
        self.gateway.prefix = self.gateway.dir = first.prefix
        self.gateway.ports = first.ports
        self.gateway.start()
        tap.ok(first.wait_end(), first.name + ': no process is left behind')
        tap.is_(first.bad_lines(), [], first.name + ': no alert, emerg or sanitizer line in the error log')
        first.process = None
        return first.log()

    def command(self, *args, timeout=120):
        """Runs sallyport with this gateway's prefix; returns the CompletedProcess, its output as text."""
        return self.gateway.command(*args, timeout=timeout)

    def reload(self, code=0):
        """-s reload, which must end with this code; returns what it printed."""
        done = self.command('-s', 'reload')
        text = done.stdout + done.stderr
        if done.returncode != code:
            raise AssertionError('reload ended with %d, not %d: %s' % (done.returncode, code, text))
        return text

    def status(self):
        """What `status --json` prints, as a dictionary."""
        done = self.command('status', '--json')
        if done.returncode != 0:
            raise AssertionError('status: %d %s' % (done.returncode, done.stdout + done.stderr))
        return json.loads(done.stdout)

    def pki(self, *args):
        """sallyport pki, in this prefix."""
        done = subprocess.run([self.gateway.binary, 'pki', *args], cwd=self.dir, capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise AssertionError('pki %s: %s' % (' '.join(args), done.stdout + done.stderr))
        return done.stdout

    # -- processes --

    def pids(self):
        """{'master': pid, 'keeper': pid, 'workers': [pid by slot]}, those that are up."""
        return self.gateway.pids()

    def all_pids(self):
        """Every process of the gateway."""
        found = self.pids()
        return [found['master'], found['keeper'], *found['workers']]

    def whole(self):
        """Waits until every process is up, and returns pids()."""
        def complete():
            found = self.pids()
            return found if found['keeper'] and len([pid for pid in found['workers'] if pid]) == self.workers else None
        return until(complete, 'all processes up')

    def worker_of(self, client):
        """The pid of the worker that serves this client; None where /proc does not tell."""
        inode = _inode_of(self.port, client.sock.getsockname()[1])
        return next((pid for pid in self.pids()['workers'] if pid and inode and _holds(pid, inode)), None)

    # -- clients --

    def tls(self, identity='drone', pki='pki'):
        """Keyword arguments for mqttraw.Client and tls_context: identity's certificate."""
        return {'cafile': self.path(pki, 'ca.crt'), 'cert': self.path(pki, identity + '.crt'),
                'key': self.path(pki, identity + '.key')}

    def open(self, identity='drone', level=4, **kwargs):
        """A TLS connection that has not sent a CONNECT."""
        client = mqttraw.Client(self.port, level=level, timeout=kwargs.pop('timeout', WAIT_S), **self.tls(identity), **kwargs)
        self.clients.append(client)
        return client

    def client(self, identity='drone', client_id=None, level=4, rcvbuf=None, **kwargs):
        """A connected client; kwargs: those of mqttraw.connect()."""
        self._count += 1
        client = self.open(identity, level, rcvbuf=rcvbuf)
        client.connect('%s-%d' % (identity, self._count) if client_id is None else client_id, **kwargs)
        return client

    def spread(self, identity='drone', level=4, each=1, most=200, **kwargs):
        """Connected clients, at least `each` on every worker; where /proc does not tell, as many as make that all but
        certain. Returns a list of (client, pid or None)."""
        found = []
        while len(found) < most:
            client = self.client(identity, level=level, **kwargs)
            pid = self.worker_of(client)
            found.append((client, pid))
            if pid is None:
                if len(found) >= 16 * each * self.workers:
                    return found
                continue
            held = [one for _, one in found]
            if all(held.count(worker) >= each for worker in self.pids()['workers']):
                return found
        raise AssertionError('%d connections and still a worker without %d' % (most, each))

    # -- the unmodified clients --

    def mosquitto(self, tool, identity, *args):
        """A command line of mosquitto_sub, mosquitto_pub or mosquitto_rr."""
        files = self.tls(identity)
        return ['stdbuf', '-oL', tool, '-h', 'localhost', '-p', str(self.port), '--cafile', files['cafile'], '--cert', files['cert'],
                '--key', files['key'], *args]

    def pub(self, identity, *args, timeout=60):
        """mosquitto_pub, run to its end; CompletedProcess, output as text."""
        return subprocess.run(self.mosquitto('mosquitto_pub', identity, *args), capture_output=True, text=True,
                              timeout=timeout, stdin=subprocess.DEVNULL)

    def sub(self, identity, *args, ready=True):
        """mosquitto_sub -v -d, returned when it is subscribed (ready)."""
        return Subscribed(self.mosquitto('mosquitto_sub', identity, '-d', '-v', *args), ready)

    # -- the end --

    def gateway_has_sanitizers(self):
        """Whether the binary was built with sanitizers: its memory then says nothing."""
        done = self.command('-V')
        return 'sanitize' in done.stdout + done.stderr

    def serves(self, identity='drone', topic='/load/serves', listener='controller'):
        """One message goes through, on fresh connections; raises if not."""
        text = 'serves-%d' % random.getrandbits(32)
        with self.client(listener, level=5) as to, self.client(identity, level=5) as by:
            to.subscribe(topic, qos=1)
            by.publish(topic, text, qos=1)
            to.receive(topic=topic, payload=text)
        return True

    def stop(self):
        """Stops it and checks the log."""
        for client in self.clients:
            client.close()
        self.clients = []
        self.gateway.stop()

    def done(self):
        """stop(), then the plan."""
        self.stop()
        tap.done()


class Subscribed:
    """A running mosquitto_sub -d -v. lines: the messages 'TOPIC PAYLOAD'; notes: what -d says."""

    def __init__(self, command, ready=True):
        self.lines = []
        self.notes = []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        stdin=subprocess.DEVNULL, errors='replace')
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        if ready:
            until(lambda: self.noted('Subscribed') or self.process.poll() is not None, 'SUBACK of mosquitto_sub: %r' % self.notes)

    def _read(self):
        for line in self.process.stdout:
            line = line.rstrip('\n')
            noted = re.match(r'Client .*(sending|received|null)|Subscribed|All subscr|Warning|Error|Connection|Unable|OpenSSL', line)
            (self.notes if noted else self.lines).append(line)

    def noted(self, pattern):
        """Whether a note matches."""
        return any(re.search(pattern, line) for line in list(self.notes))

    def wait(self, line, seconds=WAIT_S):
        """Waits for a message."""
        until(lambda: line in self.lines, 'mosquitto_sub prints %r; so far %r %r' % (line, self.lines[-20:], self.notes[-20:]), seconds)

    def end(self, seconds=WAIT_S):
        """Waits for its end; returns the exit code."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Late('mosquitto_sub does not end: %r' % self.notes[-20:]) from None
        self._thread.join(WAIT_S)
        return code

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.end()

    def stop(self):
        """As Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        return self.end()


# ---- traffic ----

_FAILURES = (mqttraw.MqttError, OSError, ssl.SSLError)


class Publisher(threading.Thread):
    """Publishes QoS 1 messages 'NAME SEQ' to one topic, a few unacknowledged at a time, until stopped. After a loss it
    connects again (if it may) and goes on with the next number: what was not acknowledged stays unsure."""

    def __init__(self, fleet, name, identity='drone', topic=None, level=4, window=4, pause_s=0.005, reconnect=True):
        super().__init__(daemon=True)
        self.fleet, self.name, self.identity, self.level = fleet, name, identity, level
        self.topic = topic or '/load/' + name
        self.window, self.pause_s, self.reconnect = window, pause_s, reconnect
        self.acked, self.unsure, self.refused = [], [], []
        self.losses = 0
        self.gap_s = 0.0  # the longest time between two acknowledgements
        self.client = None
        self.error = None
        self._seq = 0
        self._ending = threading.Event()
        self._waiting = {}

    def connect(self):
        """Connects; called by Traffic before the thread starts."""
        client = mqttraw.Client(self.fleet.port, level=self.level, timeout=WAIT_S, **self.fleet.tls(self.identity))
        client.connect(self.name)
        self.client = client
        self._waiting = {}
        self._last = time.monotonic()

    def stop(self):
        """No new messages."""
        self._ending.set()

    def _take(self, found):
        if found.type != 'PUBACK':
            raise mqttraw.MqttError('publisher %s got %r' % (self.name, found))
        seq = self._waiting.pop(found.packet_id)
        (self.refused if (found.reason or 0) >= 0x80 else self.acked).append(seq)
        now = time.monotonic()
        self.gap_s = max(self.gap_s, now - self._last)
        self._last = now

    def _step(self):
        while len(self._waiting) >= self.window:
            self._take(self.client.read())
        number = self.client.next_id()
        self._seq += 1
        self._waiting[number] = self._seq
        self.client.send(mqttraw.publish(self.topic, '%s %d' % (self.name, self._seq), 1, packet_id=number, level=self.level))
        self._ending.wait(self.pause_s)

    def run(self):
        self._last = time.monotonic()
        while True:
            try:
                while not self._ending.is_set():
                    self._step()
                while self._waiting:
                    self._take(self.client.read())
                return
            except _FAILURES as error:
                self.losses += 1
                self.error = error
                self.unsure += self._waiting.values()
                self.client.close()
            while self.reconnect and not self._ending.is_set():
                try:
                    self.connect()
                    break
                except _FAILURES:
                    self._ending.wait(0.05)
            if not self.reconnect or self._ending.is_set():
                return


class Receiver(threading.Thread):
    """Reads and acknowledges publications of Publishers until stopped. Does not connect again."""

    def __init__(self, fleet, name, identity='controller', filter='/load/#', level=4, qos=1):
        super().__init__(daemon=True)
        self.fleet, self.name, self.identity, self.level = fleet, name, identity, level
        self.filter, self.qos = filter, qos
        self.got = {}        # publisher: numbers in order of arrival
        self.topics = {}     # topic: how many
        self.lost = None     # what ended the connection
        self.client = None
        self._ending = threading.Event()

    def connect(self):
        """Connects and subscribes; called by Traffic before the thread starts."""
        self.client = mqttraw.Client(self.fleet.port, level=self.level, timeout=WAIT_S, **self.fleet.tls(self.identity))
        self.client.connect(self.name)
        self.client.subscribe(*(self.filter if isinstance(self.filter, (list, tuple)) else [self.filter]), qos=self.qos)

    def stop(self):
        """Ends the thread."""
        self._ending.set()

    def run(self):
        while not self._ending.is_set():
            try:
                found = self.client.read(0.5)
            except mqttraw.MqttTimeout:
                continue
            except _FAILURES as error:
                self.lost = error
                return
            if found.type == 'DISCONNECT':
                self.lost = found
                return
            if found.type == 'PINGRESP':
                continue
            if found.qos == 1:
                self.client.send(mqttraw.ack('PUBACK', found.packet_id))
            name, _, number = found.payload.partition(b' ')
            if number.isdigit():  # else it is no publisher of ours
                self.got.setdefault(name.decode(), []).append(int(number))
            self.topics[found.topic] = self.topics.get(found.topic, 0) + 1

    def count(self, name=None):
        """How many messages came, from one publisher or from all."""
        return len(self.got.get(name, [])) if name else sum(len(numbers) for numbers in self.got.values())

    def missing(self, publisher):
        """What was acknowledged to the publisher and has not come."""
        return sorted(set(publisher.acked) - set(self.got.get(publisher.name, [])))

    def disorder(self):
        """Numbers that came before a smaller one of the same publisher; repeats are not counted."""
        wrong = []
        for name, numbers in self.got.items():
            high, seen = 0, set()
            for number in numbers:
                if number < high and number not in seen:
                    wrong.append((name, number, high))
                seen.add(number)
                high = max(high, number)
        return wrong

    def repeats(self):
        """How many came more than once."""
        return sum(len(numbers) - len(set(numbers)) for numbers in self.got.values())


class Traffic:
    """Publishers and receivers, running. With spread=True every worker has at least one of each (where /proc tells)."""

    def __init__(self, fleet, publishers=4, subscribers=4, spread=True, level=4, pause_s=0.005, reconnect=True, name='t'):
        self.fleet = fleet
        self.publishers, self.receivers = [], []
        self.homes = {}  # name: pid of its worker at the beginning
        self._fill(subscribers, spread, self.receivers, lambda number: Receiver(fleet, '%s-r%d' % (name, number), level=level))
        self._fill(publishers, spread, self.publishers, lambda number: Publisher(
            fleet, '%s-p%d' % (name, number), level=level, pause_s=pause_s, reconnect=reconnect))
        for thread in self.receivers + self.publishers:
            thread.start()

    def _fill(self, count, spread, into, make):
        number = 0
        while True:
            number += 1
            one = make(number)
            one.connect()
            into.append(one)
            self.homes[one.name] = self.fleet.worker_of(one.client)
            if number >= count and (not spread or not self._lacking(into)) or number >= 20 * count:
                return

    def _lacking(self, those):
        homes = {self.homes[one.name] for one in those}
        return None not in homes and not homes.issuperset(pid for pid in self.fleet.pids()['workers'] if pid)

    def flows(self, more=50, seconds=WAIT_S, publishers=None, receivers=None):
        """Waits until each receiver has got so many messages more of each publisher."""
        publishers = publishers or self.publishers
        receivers = receivers or self.receivers
        had = {(r.name, p.name): r.count(p.name) for r in receivers for p in publishers}
        until(lambda: all(r.count(p.name) >= had[r.name, p.name] + more for r in receivers for p in publishers),
              'traffic flows; receivers lost: %r; publishers: %r' % (
                  [(r.name, r.lost) for r in receivers if r.lost], [(p.name, p.error) for p in publishers if p.error]), seconds)

    def on(self, pid):
        """The names of those whose connections the worker had at the beginning."""
        return [name for name, home in self.homes.items() if home == pid]

    def finish(self, seconds=60, receivers=None):
        """Stops the publishers, waits until all that was acknowledged came to the receivers (those still connected), and stops
        them. Returns {receiver's name: {publisher's name: numbers missing}}, empty when nothing is."""
        for publisher in self.publishers:
            publisher.stop()
        for publisher in self.publishers:
            publisher.join(WAIT_S * 2)
        receivers = [r for r in (receivers or self.receivers) if r.lost is None]

        def lacking():
            table = {r.name: {p.name: r.missing(p) for p in self.publishers if r.missing(p)} for r in receivers if r.lost is None}
            return {name: rows for name, rows in table.items() if rows}
        try:
            until(lambda: not lacking(), 'everything has come', seconds, 0.1)
        except Late:
            pass
        for receiver in self.receivers:
            receiver.stop()
        for receiver in self.receivers:
            receiver.join(WAIT_S)
        result = lacking()
        for one in self.publishers + self.receivers:
            if one.client is not None:
                one.client.close()
        return result

    def describe(self):
        """One line for a diagnostic."""
        return 'acknowledged %d, unsure %d, refused %d, losses %d, received %r, repeats %d, longest gap %.0f ms' % (
            sum(len(p.acked) for p in self.publishers), sum(len(p.unsure) for p in self.publishers),
            sum(len(p.refused) for p in self.publishers), sum(p.losses for p in self.publishers),
            [r.count() for r in self.receivers], sum(r.repeats() for r in self.receivers),
            1000 * max((p.gap_s for p in self.publishers), default=0))


# ---- bad company ----

class Bystanders:
    """Clients that have nothing to do with what a test does to others: a publisher and a subscriber on every worker, idle
    clients, and the memory of the workers. `untouched` judges all of it."""

    def __init__(self, fleet, pause_s=0.02):
        self.fleet = fleet
        self.traffic = Traffic(fleet, publishers=2, subscribers=2, pause_s=pause_s, name='bystander')
        self.idle = [client for client, _ in fleet.spread('gcs', level=5, keepalive=0)]
        self.pids = fleet.whole()
        self.before = self.memory()
        self.judged = not fleet.gateway_has_sanitizers()

    def memory(self):
        """Resident bytes of all processes but the master."""
        return sum(rss_bytes(pid) for pid in [self.pids['keeper'], *self.pids['workers']])

    def untouched(self, name, grown_bytes=64 << 20):
        """Checks that nobody was disturbed, that no process died and that memory has not grown by more than this."""
        traffic = self.traffic
        tap.lives(name + ': others publish and receive', lambda: traffic.flows(more=5))
        tap.is_([p.losses for p in traffic.publishers] + [r.lost for r in traffic.receivers],
                [0] * len(traffic.publishers) + [None] * len(traffic.receivers), name + ': no connection of others was lost')
        tap.lives(name + ': idle clients are there', lambda: [client.ping() for client in self.idle])
        tap.lives(name + ': a new client is served', self.fleet.serves)
        tap.is_(self.fleet.pids(), self.pids, name + ': no process died')
        grown = self.memory() - self.before
        tap.diag('%s: %+.1f MB; longest gap %.0f ms' % (name, grown / 1e6, 1000 * max(p.gap_s for p in traffic.publishers)))
        if self.judged:
            tap.ok(grown < grown_bytes, name + ': memory is bounded')

    def end(self):
        """Ends the traffic, of which nothing may be lost."""
        tap.is_(self.traffic.finish(), {}, 'nothing of the others\' traffic was lost')
        tap.is_(sum(r.repeats() for r in self.traffic.receivers), 0, 'or repeated')
        tap.is_([r.disorder() for r in self.traffic.receivers if r.disorder()], [], 'or disordered')
        tap.diag(self.traffic.describe())
