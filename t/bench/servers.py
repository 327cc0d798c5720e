"""The servers that t/bench/run measures: certificates, configuration, start, processes, stop.

Every server runs in a directory of its own with ephemeral ports on 127.0.0.1 and is ended by its pid, never by name.
"""

import glob
import os
import resource
import shutil
import signal
import socket
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
START_S = 20


class BenchError(Exception):
    """Something could not run; the text says what."""


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def raise_descriptors(wanted):
    """As many descriptors as wanted, or as can be had; returns the number. Children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for soft_wanted, hard_wanted in ((wanted, max(hard, wanted)), (hard, hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, soft_wanted), hard_wanted))
            break
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def tail(path, lines=5):
    try:
        with open(path, encoding='utf-8', errors='replace') as f:
            return ''.join(f.readlines()[-lines:]).strip()
    except OSError:
        return ''


# ---- certificates ----

def run_quiet(argv, **kwargs):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kwargs)
    if done.returncode != 0:
        raise BenchError('%s: exit %d: %s' % (' '.join(argv[:3]), done.returncode, done.stdout.strip()[-300:]))
    return done.stdout


def pki_demo(sallyport, where):
    run_quiet([sallyport, 'pki', 'demo', '--dir', where])
    for name in ('ca.crt', 'ca.crl', 'gateway.crt', 'gateway.key', 'drone.crt', 'drone.key'):
        if not os.path.exists(os.path.join(where, name)):
            raise BenchError('sallyport pki demo made no ' + name)


def pki_openssl(openssl, where):
    os.makedirs(where)
    with open(os.path.join(where, 'ca.cnf'), 'w', encoding='utf-8') as f:
        f.write('[ca]\ndefault_ca = bench\n[bench]\ndatabase = index.txt\ncrlnumber = crlnumber\ndefault_md = sha256\n'
                'default_crl_days = 30\ncertificate = ca.crt\nprivate_key = ca.key\n'
                '[server]\nsubjectAltName = DNS:localhost, IP:127.0.0.1\nextendedKeyUsage = serverAuth\n'
                '[client]\nextendedKeyUsage = clientAuth\n')
    open(os.path.join(where, 'index.txt'), 'w', encoding='utf-8').close()
    with open(os.path.join(where, 'crlnumber'), 'w', encoding='utf-8') as f:
        f.write('01\n')

    def call(*args):
        run_quiet([openssl, *args], cwd=where)

    key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    call('req', '-x509', *key, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=bench CA', '-days', '30')
    for name, section in (('gateway', 'server'), ('drone', 'client')):
        call('req', *key, '-keyout', name + '.key', '-out', name + '.csr', '-subj', '/CN=' + name)
        call('x509', '-req', '-in', name + '.csr', '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '30',
             '-extfile', 'ca.cnf', '-extensions', section, '-out', name + '.crt')
    call('ca', '-config', 'ca.cnf', '-gencrl', '-out', 'ca.crl')


def make_pki(sallyport, openssl, where):
    """One set of P-256 certificates for both servers; says who made it."""
    if sallyport:
        try:
            pki_demo(sallyport, where)
            return 'sallyport pki demo'
        except (BenchError, OSError):
            shutil.rmtree(where, ignore_errors=True)
    pki_openssl(openssl, where)
    return 'openssl'


# ---- processes ----

def children(pid):
    """Every process below pid, itself first."""
    parent = {}
    for path in glob.glob('/proc/[0-9]*/stat'):
        try:
            with open(path, encoding='utf-8', errors='replace') as f:
                text = f.read()
        except OSError:
            continue
        parent[int(text.split(' ', 1)[0])] = int(text.rsplit(')', 1)[1].split()[1])
    found = [pid]
    for one in found:
        found += sorted(p for p, above in parent.items() if above == one)
    return found


def answers(port):
    """A plain MQTT CONNECT gets its CONNACK."""
    connect = b'\x10\x12\x00\x04MQTT\x04\x02\x00\x3c\x00\x06isitup'
    try:
        with socket.create_connection(('127.0.0.1', port), 1) as s:
            s.settimeout(1)
            s.sendall(connect)
            got = s.recv(4)
            s.sendall(b'\xe0\x00')
            return len(got) == 4 and got[0] == 0x20 and got[3] == 0
    except OSError:
        return False


class Server:
    """One running server. `cpus`: the cores it may use, None for all."""

    name = '?'

    def __init__(self, binary, where, pki, cpus, workers=1, rules='', variables=None):
        self.binary, self.where, self.pki, self.cpus = binary, where, pki, cpus
        self.workers, self.rules = workers, rules
        self.plain_port, self.tls_port = free_port(), free_port()
        self.variables = variables or {}
        self.process = None
        os.makedirs(where)
        os.chmod(where, 0o755)

    def fill(self, template, target, **more):
        values = {'DIR': self.where, 'PKI': self.pki, 'PLAIN_PORT': self.plain_port, 'TLS_PORT': self.tls_port,
                  'WORKERS': self.workers, 'RULES': self.rules, 'USER': '', 'ACL': ''}
        values.update(self.variables)
        values.update(more)
        with open(os.path.join(HERE, 'conf', template), encoding='utf-8') as f:
            text = f.read()
        for name, value in values.items():
            text = text.replace('@%s@' % name, str(value))
        part = target + '.part'
        with open(part, 'w', encoding='utf-8') as f:
            f.write(text)
        os.replace(part, target)

    def launch(self, argv):
        def pin():
            if self.cpus is not None:
                os.sched_setaffinity(0, self.cpus)

        self.out = os.path.join(self.where, 'out.log')
        with open(self.out, 'wb') as out:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=pin)
        deadline = time.monotonic() + START_S
        while not answers(self.plain_port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                code = self.process.poll()
                self.stop()
                raise BenchError('%s %s: %s %s' % (self.name, 'ended with %d' % code if code is not None else
                                                   'did not answer within %d s' % START_S, tail(self.out), self.trouble()))
            time.sleep(0.02)
        return self

    def pids(self):
        return children(self.process.pid)

    def trouble(self):
        return tail(os.path.join(self.where, 'error.log'))

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                for pid in reversed(self.pids()):
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                self.process.wait(10)


class Mosquitto(Server):
    name = 'mosquitto'

    def start(self):
        self.conf = os.path.join(self.where, 'mosquitto.conf')
        # Started by root it would give up its rights and then not be able to read a key that only root may read.
        user = 'user                      root' if os.geteuid() == 0 else ''
        acl = 'acl_file                  %s' % self.variables['ACL_FILE'] if 'ACL_FILE' in self.variables else ''
        self.fill('mosquitto.conf.in', self.conf, USER=user, ACL=acl)
        return self.launch([self.binary, '-c', self.conf])

    def version(self):
        out = subprocess.run([self.binary, '-h'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return out.stdout.split('\n', 1)[0].strip()


class Sallyport(Server):
    name = 'sallyport'

    def configure(self):
        self.conf = os.path.join(self.where, 'sallyport.conf')
        os.makedirs(os.path.join(self.where, 'data'), exist_ok=True)
        self.fill('sallyport.conf.in', self.conf)

    def start(self):
        self.configure()
        return self.launch([self.binary, '-p', self.where, '-c', self.conf])

    def command(self, *args, timeout=60):
        """A command of the binary against this gateway: exit code, output, seconds."""
        began = time.monotonic()
        done = subprocess.run([self.binary, '-p', self.where, '-c', self.conf, *args], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=timeout)
        return done.returncode, done.stdout.strip(), time.monotonic() - began

    def version(self):
        out = subprocess.run([self.binary, '-v'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return out.stdout.split('\n', 1)[0].strip()
