"""A gateway for a test: a temporary prefix, ports of its own, a demo PKI, and at the end the two assertions that every test of
the daemon makes: it left no process behind, and nothing in its error log is an [alert], an [emerg] or a sanitizer's finding.

    from lib.gateway import Gateway

    with Gateway(FLEET) as g:                   # starts; returns when it serves
        g.port                                  # @PORT@ in the configuration; g.port_of(2) is @PORT2@ ...
        g.pki('drone')                          # {'ca': ..., 'cert': ..., 'key': ...}: paths
        g.run('-s', 'reload')                   # sallyport -p PREFIX -s reload: a subprocess.CompletedProcess
        g.edit('allow  a', 'allow  b')          # in the configuration
        g.reload()                              # edits are in force; g.reload(expect=4) for a refusal
        g.status()                              # the parsed JSON
        g.wait_log(r'pattern')                  # a line of the error log that came after the last such wait, or a failed check
        os.kill(g.worker_pids()[0], 9)

SALLYPORT names the binary (default objs/sallyport), TEST_WORKERS the number of workers where the configuration says nothing
(default 2). Everything waits for events with a deadline; nothing sleeps for a fixed time.
"""

import atexit
import collections
import fcntl
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.join(ROOT, os.environ.get('SALLYPORT', 'objs/sallyport'))
WORKERS = int(os.environ.get('TEST_WORKERS', '2'))
DEADLINE = float(os.environ.get('TEST_DEADLINE', '30'))
BAD = re.compile(r'\[(?:alert|emerg)\]|(?:Address|Leak|Memory|Thread|UndefinedBehavior)Sanitizer|runtime error:')

# The fleet of the shipped configuration, small.
FLEET = '''
trust fleet {
    ca pki/ca.crt;  certificate pki/gateway.crt;  key pki/gateway.key;  crl pki/ca.crl;
}
policy { max_qos 1;  retain off;  unknown_realm deny; }
mqtt { listen 127.0.0.1:@PORT@ trust=fleet identity=cn; }
realm fleet {
    topics "/health/#" "/algo/#" "/policy/#" "/rl/#";
    allow drone      publish   "/health/drone" "/algo/ack";
    allow drone      subscribe "/algo/desired" "/policy/#";
    allow gcs        publish   "/health/gcs" "/algo/ack";
    allow gcs        subscribe "/algo/desired" "/policy/#";
    allow controller subscribe "/health/#" "/algo/ack";
    allow controller publish   "/algo/desired" "/policy/#" "/rl/log";
    topic "/policy/#" { retain on; }
}
'''

_ports = {}
_started = []  # every Gateway of this process


def _abandon():
    """The test ends without having stopped its gateways: an exception, or prove's time limit."""
    for gateway in _started:
        gateway.kill()


def _terminated(number, frame):
    sys.exit(128 + number)  # so that _abandon runs


atexit.register(_abandon)
if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
    signal.signal(signal.SIGTERM, _terminated)


def free_port():
    """A port that no other test has, for as long as this process lives. (Two gateways of one user could share a port without
    noticing: SO_REUSEPORT. So a port is taken by a lock on a file, not by luck.)"""
    where = '/tmp/sallyport-test-ports-%d' % os.getuid()  # not TMPDIR: all test runs of this machine share the ports
    os.makedirs(where, mode=0o700, exist_ok=True)
    while True:
        port = random.randrange(20000, 32000)
        if port in _ports:
            continue
        fd = os.open(os.path.join(where, str(port)), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket(socket.AF_INET6) as probe:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(('::', port))
        except OSError:
            os.close(fd)
            continue
        _ports[port] = fd
        return port


_pki = None


def demo_pki():
    """The directory of a demo PKI, made once for this process; copy what you change."""
    global _pki
    if _pki is None:
        _pki = tempfile.mkdtemp(prefix='sp-pki-')
        subprocess.run([BINARY, 'pki', 'demo', '--dir', os.path.join(_pki, 'pki')], check=True, stdout=subprocess.DEVNULL,
                       timeout=DEADLINE)
        atexit.register(shutil.rmtree, _pki, True)
    return os.path.join(_pki, 'pki')


def wait_until(condition, what, deadline=None):
    """For what has no event to wait for: asks again until it is true. Returns the last answer."""
    until = time.monotonic() + (deadline or DEADLINE)
    while True:
        value = condition()
        if value or time.monotonic() > until:
            if not value:
                tap.ok(False, 'in time: ' + what)
            return value
        time.sleep(0.01)


def gone(pid):
    """Is there no such process (or only its corpse)?"""
    try:
        with open('/proc/%d/stat' % pid) as f:
            return f.read().rsplit(')', 1)[1].split()[0] in 'ZX'
    except OSError:
        return True


def _command_line(pid):
    try:
        with open('/proc/%d/cmdline' % pid, 'rb') as f:
            return f.read()
    except OSError:
        return b''


class Gateway:
    """See the module's text. Arguments: the configuration (None: the caller writes the file and starts it); workers: how many;
    start: False to start later; args: more arguments of the program; name: for the messages of the checks; pki: make one;
    env: more environment; binary."""

    def __init__(self, conf=None, workers=None, start=True, args=(), name='gateway', pki=True, env=None, binary=None):
        self.name = name
        self.binary = binary or BINARY  # what start() starts; the other commands are BINARY's
        self.prefix = self.dir = tempfile.mkdtemp(prefix='sp-')
        self.workers = workers or WORKERS
        self.args = list(args)
        self.env = dict(os.environ, **(env or {}))
        self.process = None
        self.lines = collections.deque()
        self.new = threading.Condition()
        self.eof = False
        self.seen = 0
        self.tolerated = []
        self.ports = {}
        _started.append(self)
        os.mkdir(self.path('conf'))
        if pki:
            shutil.copytree(demo_pki(), self.path('pki'))
        if conf is not None:
            self.write(conf)
            if start:
                self.start()

    # -- files --

    def path(self, *parts):
        return os.path.join(self.prefix, *parts)

    def port_of(self, n=1):
        if n not in self.ports:
            self.ports[n] = free_port()
        return self.ports[n]

    @property
    def port(self):
        return self.port_of(1)

    def pki(self, name):
        return {'ca': self.path('pki/ca.crt'), 'cert': self.path('pki/%s.crt' % name), 'key': self.path('pki/%s.key' % name)}

    def write(self, conf):
        """The configuration. @PORT@, @PORT2@ … are replaced; worker_processes and error_log are added where they are missing."""
        conf = re.sub(r'@PORT(\d*)@', lambda m: str(self.port_of(int(m.group(1) or 1))), conf)
        if not re.search(r'^\s*worker_processes\b', conf, re.M):
            conf = 'worker_processes %d;\n' % self.workers + conf
        if not re.search(r'^\s*error_log\b', conf, re.M):
            conf = 'error_log stderr info;\n' + conf
        self.put('conf/sallyport.conf', conf)

    def put(self, name, text):
        """A file below the prefix, replaced at once."""
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name) + '.new', 'wb') as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        os.rename(self.path(name) + '.new', self.path(name))

    def conf(self):
        with open(self.path('conf/sallyport.conf')) as f:
            return f.read()

    def edit(self, old, new):
        conf = self.conf()
        assert old in conf, 'not in the configuration: ' + old
        self.write(conf.replace(old, new))

    # -- life --

    def start(self, expect_ready=True):
        with self.new:
            self.eof = False
        self.process = subprocess.Popen([self.binary, '-p', self.prefix] + self.args, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=self.env, start_new_session=True)
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        if expect_ready and not self.wait_log(r': ready, generation', quiet=True):
            tap.ok(False, self.name + ' starts')
            tap.diag(self.log())
            raise RuntimeError('the gateway does not start')
        return self

    def _read(self, process):
        for line in iter(process.stderr.readline, b''):
            with self.new:
                self.lines.append(line.decode('utf-8', 'replace').rstrip('\n'))
                self.new.notify_all()
        with self.new:
            self.eof = True
            self.new.notify_all()

    def run(self, *args, timeout=None, stdin=subprocess.DEVNULL):
        return subprocess.run([BINARY, '-p', self.prefix] + list(args), stdin=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, env=self.env, timeout=timeout or DEADLINE)

    command = run

    def reload(self, expect=0):
        r = self.run('-s', 'reload')
        if r.returncode != expect:
            tap.is_(r.returncode, expect, self.name + ': reload')
            tap.diag(r.stdout + r.stderr)
        return r

    def status(self):
        r = self.run('status', '--json')
        if r.returncode != 0:
            raise RuntimeError('status: ' + r.stderr)
        return json.loads(r.stdout)

    def master_pid(self):
        try:
            with open(self.path('data/sallyport.pid')) as f:
                return int(f.read())
        except (OSError, ValueError):
            return 0

    def processes(self):
        return {p['process']: p for p in self.status()['processes']}

    def worker_pids(self):
        return [p['pid'] for name, p in sorted(self.processes().items()) if name.startswith('worker')]

    def keeper_pid(self):
        return self.processes()['keeper']['pid']

    def pids(self):
        """{'master': pid, 'keeper': pid, 'workers': [pid by slot]}; 0 where none is up."""
        status = self.status()
        found = {p['process']: p['pid'] for p in status['processes']}
        return {'master': status['pid'], 'keeper': found['keeper'],
                'workers': [found['worker%d' % i] for i in range(len(found) - 1)]}

    def all_pids(self):
        return [self.master_pid()] + [p['pid'] for p in self.processes().values()]

    # -- log --

    def log(self):
        with self.new:
            return '\n'.join(self.lines)

    def wait_log(self, pattern, deadline=None, quiet=False):
        """Waits for a line that matches, among those that no wait_log has passed yet. The match, or None after a failed check."""
        until = time.monotonic() + (deadline or DEADLINE)
        with self.new:
            while True:
                while self.seen < len(self.lines):
                    m = re.search(pattern, self.lines[self.seen])
                    self.seen += 1
                    if m:
                        return m
                left = until - time.monotonic()
                if left <= 0 or self.eof:
                    break
                self.new.wait(left)
        if not quiet:
            tap.ok(False, '%s logs /%s/' % (self.name, pattern))
            tap.diag(self.log())
        return None

    def mark(self):
        """What is in the log by now is of no interest to the next wait_log."""
        with self.new:
            self.seen = len(self.lines)

    def tolerate(self, pattern):
        """A bad line that this test provokes."""
        self.tolerated.append(re.compile(pattern))

    def bad_lines(self):
        return [line for line in self.log().split('\n') if BAD.search(line) and not any(t.search(line) for t in self.tolerated)]

    # -- end --

    def wait_end(self, deadline=None):
        """Every process that the gateway ever started has gone (none holds its standard error any more)."""
        until = time.monotonic() + (deadline or DEADLINE)
        with self.new:
            while not self.eof and time.monotonic() < until:
                self.new.wait(until - time.monotonic())
            over = self.eof
        if over and self.process is not None:
            self.process.wait(timeout=DEADLINE)
        return over

    def stop_waiting(self):
        """The test has killed the master: waits until all has gone, so that it can be started again."""
        if not self.wait_end():
            raise AssertionError('processes are left behind')

    def stop(self, how='stop'):
        """Stops it and makes the two assertions."""
        r = None
        if self.process is not None and not self.eof:
            pid = self.master_pid()
            r = self.run('-s', how)
            if not tap.ok(self.wait_end(), '%s: %s leaves no process' % (self.name, how)):
                self.kill(pid)
        if self.lines:
            if not tap.ok(not self.bad_lines(), self.name + ': no alert, emerg or sanitizer line in the error log'):
                tap.diag(self.log())
            self.process = None
        return r

    def kill(self, *more):
        """Kills what is left of it (the processes go with their master), without a word; takes its files away."""
        for pid in {self.master_pid(), self.process.pid if self.process else 0, *more}:
            if pid and not gone(pid) and self.prefix.encode() in _command_line(pid):
                os.kill(pid, signal.SIGKILL)
        self.process = None
        shutil.rmtree(self.prefix, ignore_errors=True)

    def kill_master(self):
        os.kill(self.master_pid() or self.process.pid, signal.SIGKILL)

    def close(self):
        self.stop()
        shutil.rmtree(self.prefix, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None and self.process is not None:
            tap.diag(self.log())
        self.close()
