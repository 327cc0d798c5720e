#!/usr/bin/python3
"""A byte now and then: a handshake, a CONNECT, a PUBLISH that never get done meet a deadline, whatever trickles."""

import os
import ssl
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from fleet import WAIT_S, Bystanders, Fleet  # noqa: E402
from mqttraw import Client, connect, packet, publish, string, tls_context  # noqa: E402
from tap import diag, is_, ok  # noqa: E402

PACE_S = 0.25


class Trickle:
    """Writes a byte every PACE_S until the peer closes."""

    def __init__(self, name, write, over, data):
        self.name, self.write, self.over, self.data = name, write, over, data
        self.sent, self.closed_s = 0, None

    def step(self, now):
        """One byte, and a look whether the peer has closed."""
        try:
            if self.over():
                self.closed_s = now
                return
            self.write(self.data[self.sent % len(self.data):][:1])
            self.sent += 1
        except OSError:
            self.closed_s = now


def closed_by_peer(sock):
    """Whether an end of file or a reset has come."""
    sock.settimeout(0.001)
    try:
        return sock.recv(65536) == b''
    except (ssl.SSLWantReadError, TimeoutError):
        return False
    except (OSError, ssl.SSLError) as error:
        return 'timed out' not in str(error)


def hello():
    """A ClientHello."""
    outgoing = ssl.MemoryBIO()
    tls = tls_context(**fleet.tls('drone')).wrap_bio(ssl.MemoryBIO(), outgoing)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


fleet = Fleet(name='slow', main='handshake_timeout 3s;\n', mqtt='    connect_timeout 3s;\n')
others = Bystanders(fleet)

trickles = []
plain = Client(fleet.port)
trickles.append(Trickle('a TLS handshake', plain.sock.sendall, lambda: closed_by_peer(plain.sock), hello()))
before = fleet.open('drone')
trickles.append(Trickle('a CONNECT', before.sock.sendall, lambda: closed_by_peer(before.sock),
                        connect('slow', will={'topic': '/will/slow', 'payload': b'x' * 2000})))
during = {}
for level in (4, 5):
    client = fleet.client('drone', level=level, keepalive=2)
    during[level] = client
    client.send(packet('PUBLISH', string('/load/slow') + (b'\x00' if level == 5 else b''), length=60000))
    trickles.append(Trickle('a PUBLISH beyond the keep alive, level %d' % level, client.sock.sendall,
                            lambda client=client: closed_by_peer(client.sock), b'x'))
begun = time.monotonic()
while any(t.closed_s is None for t in trickles) and time.monotonic() - begun < 2 * WAIT_S:
    for trickle in trickles:
        if trickle.closed_s is None:
            trickle.step(time.monotonic() - begun)
    time.sleep(PACE_S)  # the pace is the point
for trickle in trickles:
    ok(trickle.closed_s is not None, '%s, a byte at a time: cut off' % trickle.name)
    diag('%s: after %s s and %d bytes' % (trickle.name, trickle.closed_s and round(trickle.closed_s, 1), trickle.sent))
    ok(trickle.sent > 3, 'not at once, though')
others.untouched('trickles')

# slow is not wrong: a packet that comes byte by byte within its time is taken
client = fleet.open('drone', level=5)
for byte in connect('bytewise', level=5):
    client.send(bytes([byte]))
client.connack = client.expect('CONNACK', reason=0)
watch = fleet.client('controller')
watch.subscribe('/load/bytewise', qos=1)
for byte in publish('/load/bytewise', b'all of it', 1, packet_id=9, level=5):
    client.send(bytes([byte]))
is_(client.expect('PUBACK', packet_id=9).reason, 0, 'a PUBLISH in single bytes is a PUBLISH')
watch.receive(topic='/load/bytewise', payload=b'all of it')

# a keep alive without a word ends the session, with the standard's code
quiet = {level: fleet.client('drone', level=level, keepalive=1, will={'topic': '/will/quiet%d' % level, 'payload': b'gone', 'qos': 1})
         for level in (4, 5)}
watch.subscribe('/will/#', qos=1)
quiet[4].expect_closed()
quiet[5].expect_closed(0x8D)
is_({watch.receive().topic, watch.receive().topic}, {'/will/quiet4', '/will/quiet5'}, 'a keep alive that runs out: closed (0x8D), the wills published')
others.untouched('keep alive')
others.end()
fleet.done()
