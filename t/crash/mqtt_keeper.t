#!/usr/bin/python3
"""kill -9 of the keeper while it owes answers to MQTT clients: CONNACKs, acknowledgements of retained messages, retained messages."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))

import signal  # noqa: E402

import tap  # noqa: E402
from fleet import Fleet  # noqa: E402
from mqttraw import connect, publish, subscribe  # noqa: E402
from tap import diag, is_, ok  # noqa: E402


def claims(fleet, name):
    """Clients that connect while there is no keeper get in; takeovers are settled."""
    holder = fleet.client('drone', 'held', level=5)
    crowd = [fleet.open('drone', level=5) for _ in range(30)]
    os.kill(fleet.pids()['keeper'], signal.SIGKILL)
    for number, client in enumerate(crowd):
        client.send(connect('held' if number == 7 else 'c%d' % number, level=5))
    for client in crowd:
        client.expect('CONNACK', reason=0)
    ok(True, name + 'all get their CONNACK from the next keeper')
    holder.expect_closed(0x8E)
    ok(True, name + 'and the old holder of a client id goes')
    for client in crowd:
        client.ping()
        client.close()


def retained(fleet, name):
    """Retained messages under way are acknowledged, stored once, and found."""
    pub = fleet.client('drone', level=5)
    sub = fleet.client('gcs', level=5)
    for round_ in range(3):
        for number in range(200):
            pub.send(publish('/load/%d/%d' % (round_, number), b'%d' % number, 1, True, packet_id=number + 1, level=5))
            if number == 100:
                os.kill(fleet.pids()['keeper'], signal.SIGKILL)
        sub.send(subscribe([('/load/%d/none' % round_, 1)], 1000 + round_, None, 5))
        for number in range(200):
            got = pub.expect('PUBACK', packet_id=number + 1)
            if got.reason not in (0, 0x10):
                ok(False, name + repr(got))
        sub.wait_for('SUBACK', packet_id=1000 + round_)
        sub.subscribe('/load/%d/#' % round_, qos=1)
        seen = {}
        while len(seen) < 200:
            found = sub.receive()
            seen[found.topic] = found.payload
        is_(seen, {'/load/%d/%d' % (round_, n): b'%d' % n for n in range(200)}, name + 'round %d: 200 acknowledged, 200 there' % round_)
        fleet.whole()
    sub.ping()


for workers in (1, 2, 4):
    name = '%d workers: ' % workers
    fleet = Fleet(workers=workers, name='mqtt-keeper')
    for part in (claims, retained):
        diag(part.__doc__)
        part(fleet, name)
    fleet.stop()
tap.done()
