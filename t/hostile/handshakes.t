#!/usr/bin/python3
"""Thousands of connections that never finish their TLS handshake, some silent, some half way: cut off by handshake_timeout, in bounded
memory, while others are served. 10,000 where the limit of open files permits."""

import os
import resource
import select
import socket
import ssl
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from fleet import WAIT_S, Bystanders, Fleet  # noqa: E402
from mqttraw import tls_context  # noqa: E402
from tap import diag, is_, ok  # noqa: E402

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
COUNT = 10000 if hard == resource.RLIM_INFINITY else max(200, min(10000, hard - 600))
TIMEOUT_S = 5


def hello(context):
    """The first bytes of a TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def dial(port, data):
    """A connection that has sent some bytes and will send no more."""
    deadline = time.monotonic() + WAIT_S
    while True:
        sock = socket.socket()
        sock.settimeout(WAIT_S)
        try:
            sock.connect(('127.0.0.1', port))
            if data:
                sock.send(data)
            sock.setblocking(False)
            return sock
        except (ConnectionResetError, BrokenPipeError):
            sock.close()  # cut off already: as good
            return None
        except OSError:
            sock.close()
            if time.monotonic() > deadline:
                raise


def ended(socks, seconds):
    """Waits until the peer has closed all of them; returns how many it has not."""
    poll = select.poll()
    left = {}
    for sock in socks:
        left[sock.fileno()] = sock
        poll.register(sock, select.POLLIN)
    deadline = time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        for fd, _ in poll.poll(500):
            try:
                over = left[fd].recv(65536) == b''
            except BlockingIOError:
                over = False
            except OSError:
                over = True
            if over:
                poll.unregister(fd)
                left.pop(fd).close()
    return len(left)


fleet = Fleet(name='handshakes', main='handshake_timeout %ds;\nmax_connections_per_address off;\n' % TIMEOUT_S,
              mqtt='    connect_timeout 3s;\n')
others = Bystanders(fleet)
full = hello(tls_context(**fleet.tls('drone')))
kinds = {'silent': b'', 'one byte': full[:1], 'half a ClientHello': full[:len(full) // 2], 'a ClientHello and nothing more': full,
         'not TLS': b'\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00'}

# each kind alone
for name, data in kinds.items():
    socks = [sock for sock in (dial(fleet.port, data) for _ in range(50)) if sock]
    is_(ended(socks, TIMEOUT_S + WAIT_S), 0, '50 of them, %s: all cut off' % name)

# all together
socks, peak = [], 0
values = list(kinds.values())
for number in range(COUNT):
    sock = dial(fleet.port, values[number % 4])
    if sock:
        socks.append(sock)
    if number % 500 == 0:
        peak = max(peak, others.memory())
diag('%d connections, of which %d are open; memory of the workers and the keeper: before %.1f MB, then %.1f MB' % (
    COUNT, len(socks), others.before / 1e6, max(peak, others.memory()) / 1e6))
others.untouched('%d unfinished handshakes' % COUNT, grown_bytes=COUNT * 64 * 1024)
is_(ended(socks, TIMEOUT_S + 2 * WAIT_S), 0, '%d unfinished handshakes: all cut off' % COUNT)
others.untouched('after them', grown_bytes=COUNT * 64 * 1024)

# once more: what they cost is not added up
first = others.memory()
socks = [sock for sock in (dial(fleet.port, values[number % 4]) for number in range(COUNT // 2)) if sock]
is_(ended(socks, TIMEOUT_S + 2 * WAIT_S), 0, '%d more: all cut off' % (COUNT // 2))
others.untouched('after those', grown_bytes=first - others.before + (32 << 20))

# finished, but without a CONNECT
context = tls_context(**fleet.tls('drone'))
socks = []
for number in range(200):
    sock = context.wrap_socket(socket.create_connection(('127.0.0.1', fleet.port), WAIT_S))
    sock.settimeout(WAIT_S)
    socks.append(sock)
left = 0
for sock in socks:
    try:
        while sock.recv(1000):
            pass
    except (ConnectionResetError, ssl.SSLError):
        pass
    except (TimeoutError, socket.timeout):
        left += 1
    sock.close()
is_(left, 0, '200 TLS connections that never send a CONNECT: all cut off')
others.untouched('no CONNECT', grown_bytes=COUNT * 64 * 1024)

# in the wrong protocol, or the wrong version of the right one
old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
old.check_hostname, old.verify_mode, old.maximum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2
try:
    old.wrap_socket(socket.create_connection(('127.0.0.1', fleet.port), WAIT_S)).close()
    ok(False, 'TLS 1.2 is refused')
except (ssl.SSLError, OSError):
    ok(True, 'TLS 1.2 is refused')
others.end()
fleet.done()
