#!/usr/bin/python3
"""Wills, keep alive and takeovers, with 1, 2 and 4 workers."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
import mqttraw  # noqa: E402
import tap  # noqa: E402
from fleet import Fleet, until  # noqa: E402
from mqttraw import connect  # noqa: E402
from tap import diag, is_, ok  # noqa: E402

WILL = {'topic': '/will/a', 'payload': b'gone', 'qos': 1}


def wills(fleet, name):
    """When a will is sent and when it is not."""
    watch = fleet.client('controller', level=5)
    watch.subscribe('/will/#', qos=1, retain_handling=2)
    for level in (4, 5):
        fleet.client('drone', 'w', level=level, will=WILL).abort()
        watch.receive(topic='/will/a', payload=b'gone', qos=1)
        ok(True, name + 'level %d: a reset sends it' % level)
        fleet.client('drone', 'w', level=level, will=WILL).close()
        watch.receive(topic='/will/a')
        ok(True, name + 'level %d: a close without DISCONNECT sends it' % level)
        fleet.client('drone', 'w', level=level, will=WILL).disconnect()
        watch.expect_nothing()
        ok(True, name + 'level %d: DISCONNECT does not' % level)
    fleet.client('drone', 'w', level=5, will=WILL).disconnect(0x04)
    watch.receive(topic='/will/a')
    ok(True, name + 'DISCONNECT 0x04 sends it')
    five = fleet.client('drone', 'w', level=5, will=dict(WILL, props=[('will_delay', 3600), ('content_type', 'x'), ('message_expiry', 60)]),
                        props=[('session_expiry', 3600)])
    five.close()
    is_(watch.receive(topic='/will/a').prop('content_type'), 'x', name + 'a delay is cut to 0, since the session ends; properties pass')
    bad = fleet.client('drone', 'w', level=5, will=WILL)
    bad.send(b'\x00\x00')
    bad.expect_closed(0x81)
    watch.receive(topic='/will/a')
    ok(True, name + 'a protocol error sends it')
    fleet.client('drone', 'w', level=5, will=dict(WILL, retain=True, topic='/will/kept')).close()
    watch.receive(topic='/will/kept', retain=False)
    until_retained(fleet, '/will/kept')
    ok(True, name + 'a retained will is retained')
    fleet.client('drone', 'w', level=5, will=dict(WILL, topic='/policy/no')).close()
    fleet.client('drone', 'w', level=5, will=WILL).close()
    watch.receive(topic='/will/a')
    until(lambda: 'topic=/policy/no will: publish denied' in fleet.log(), 'the refused will in the log')
    ok(True, name + 'a will that may not be published is not')


def until_retained(fleet, topic):
    """Waits until a subscriber gets it from the store."""
    def there():
        client = fleet.client('controller', level=5)
        client.subscribe(topic, qos=1)
        client.ping()
        found = [p for p in client.inbox if p.type == 'PUBLISH']
        client.close()
        return found
    until(there, topic + ' is retained')


def keep_alive(fleet, name):
    """Silence for one and a half times the keep alive."""
    watch = fleet.client('controller', level=5)
    watch.subscribe('/will/#', qos=1, retain_handling=2)
    quiet = fleet.client('drone', 'quiet', level=5, keepalive=1, will=dict(WILL, topic='/will/quiet'))
    lively = fleet.client('drone', 'lively', level=4, keepalive=2)
    while not quiet.inbox:
        lively.ping()
        try:
            quiet.inbox.append(quiet.read(0.5))
        except mqttraw.MqttTimeout:
            pass
    quiet.expect_closed(0x8D)
    ok(True, name + 'a silent client is told 0x8D and closed')
    watch.wait_for('PUBLISH', topic='/will/quiet')
    ok(True, name + 'its will is sent')
    lively.ping()
    ok(True, name + 'PINGREQ keeps a connection alive')


def takeover(fleet, name):
    """One client id, several connections, on any worker."""
    watch = fleet.client('controller', level=5)
    watch.subscribe('/will/#', qos=1, retain_handling=2)
    old = fleet.client('drone', 'same', level=5, will=WILL)
    for _ in range(12):
        new = fleet.client('drone', 'same', level=5, will=WILL)
        old.expect_closed(0x8E)
        watch.receive(topic='/will/a')
        old = new
    old.ping()
    ok(True, name + '12 takeovers: 0x8E to the old connection, its will sent, the new one serves')
    other = fleet.client('gcs', 'same', level=5)
    old.ping()
    other.ping()
    ok(True, name + 'the same client id of another identity is another client')
    crowd = [fleet.open('drone', level=5) for _ in range(20)]
    for client in crowd:
        client.send(connect('crowd', level=5))
    for client in crowd:
        client.expect('CONNACK', reason=0)
    left = []
    for client in crowd:
        try:
            client.ping()
            left.append(client)
        except mqttraw.MqttError:
            pass
    is_(len(left), 1, name + '20 at once: one is left')


def shutdown(fleet, name):
    """A stop says good-bye."""
    five, four = fleet.client('drone', level=5), fleet.client('drone', level=4)
    fleet.command('-s', 'quit')
    five.expect_closed(0x8B)
    four.expect_closed()
    ok(True, name + 'a graceful stop sends 0x8B')


for workers in (1, 2, 4):
    name = '%d workers: ' % workers
    fleet = Fleet(workers=workers, name='will')
    for part in (wills, keep_alive, takeover, shutdown):
        diag(part.__doc__)
        part(fleet, name)
    fleet.stop()
tap.done()
