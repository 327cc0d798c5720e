#!/usr/bin/python3
"""Clients that do not read or do not acknowledge: bounded, publishers wait a little, then the client is cut off; nobody else suffers."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
import threading  # noqa: E402

import tap  # noqa: E402
from fleet import Fleet, rss_bytes, until  # noqa: E402
from mqttraw import ack, publish  # noqa: E402
from tap import diag, is_, ok  # noqa: E402

POLICY = '\n max_qos 1; retain on; max_payload 64k; unknown_realm deny; allow operator subscribe "$SYS/#";\n'
MQTT = '    max_inflight 20;\n    max_queued 100;\n    max_queued_bytes 100k;\n    stall_timeout 500ms;\n    sys_interval 500ms;\n'


def window(fleet, name):
    """The receive maximum of a client, and the queue behind it."""
    for client, _ in fleet.spread('gcs', level=5):
        client.close()
    sub = fleet.client('gcs', level=5, props=[('receive_maximum', 3)])
    sub.subscribe('/load/w', qos=1)
    pub = fleet.client('drone', level=5)
    for number in range(50):
        pub.publish('/load/w', b'%d' % number, qos=1)
    sub.ping()
    is_(len(sub.inbox), 3, name + 'three unacknowledged messages, not more')
    got = []
    while len(got) < 50:
        got.append(int(sub.receive(topic='/load/w').payload))
    is_(got, list(range(50)), name + 'the others follow the acknowledgements, in order')
    back = fleet.client('gcs', level=5, props=[('receive_maximum', 5)])
    back.subscribe('/load/w', qos=1)
    for number in range(10):
        pub.publish('/load/w', b'%d' % number, qos=1)
    first = [back.expect('PUBLISH') for _ in range(5)]
    for p in reversed(first):
        back.send(ack('PUBACK', p.packet_id))
    got = [back.receive().payload for _ in range(5)]
    is_(got, [b'5', b'6', b'7', b'8', b'9'], name + 'acknowledgements out of order')
    back.send(ack('PUBACK', 4711))
    back.ping()
    ok(True, name + 'an acknowledgement of nothing is ignored')
    for one in (sub, back):
        one.close()


def stalled(fleet, name):
    """It acknowledges nothing: its publisher waits, until the client is cut off with 0x97."""
    for sub, _ in fleet.spread('gcs', level=5):
        sub.subscribe('/load/stall', qos=1)
        pub = fleet.client('drone', level=5)
        for number in range(400):
            pub.publish('/load/stall', b'%d' % number, qos=1, wait=False)
        for _ in range(400):
            pub.expect('PUBACK')
        ok(True, name + 'the publisher got through in the end')
        seen = []
        while sub.inbox or not seen or seen[-1].type == 'PUBLISH':
            seen.append(sub.read())
        is_((seen[-1].type, seen[-1].reason), ('DISCONNECT', 0x97), name + 'the stalled client was told 0x97')
        is_(len(seen) - 1, 20, name + 'after its window')


def deaf(fleet, name):
    """It reads nothing from its socket: QoS 0 is dropped and counted, memory stays, others get everything."""
    deaf = fleet.client('gcs', level=4, rcvbuf=4096)
    deaf.subscribe('/load/deaf', qos=0)
    well = fleet.client('controller', level=4)
    well.subscribe('/load/deaf', qos=0)
    pub = fleet.client('drone', level=4)
    before = sum(rss_bytes(pid) for pid in fleet.pids()['workers'])
    count, payload = 1500, b'x' * 10000
    for number in range(count):
        pub.publish('/load/deaf', payload, qos=0)
        well.expect('PUBLISH')
    after = sum(rss_bytes(pid) for pid in fleet.pids()['workers'])
    with open('/proc/%d/maps' % fleet.pids()['workers'][0], encoding='ascii', errors='replace') as maps:
        sanitized = 'libasan' in maps.read()  # which keeps what is freed
    ok(sanitized or after - before < 12 << 20, name + 'memory stays bounded: %d kB more for 15 MB to a deaf client' % ((after - before) >> 10))
    watch = fleet.client('operator', level=4)
    watch.subscribe('$SYS/broker/publish/messages/dropped')
    dropped = until(lambda: int(watch.receive().payload) > 0, 'dropped messages in $SYS')
    ok(dropped, name + 'what was dropped is counted')
    deaf.close()
    well.close()


class Flood(threading.Thread):
    """Sends `count` messages, twenty unacknowledged at a time (the receive maximum), and takes as many."""

    def __init__(self, client, to, count):
        super().__init__(daemon=True)
        self.client, self.to, self.count = client, to, count
        self.got, self.acked, self.error = [], 0, None

    def run(self):
        try:
            sent = 0
            while len(self.got) < self.count or self.acked < self.count:
                while sent < self.count and sent - self.acked < 20:
                    self.client.send(publish(self.to, b'%d' % sent, 1, packet_id=sent + 1, level=5))
                    sent += 1
                found = self.client.read()
                if found.type == 'PUBLISH':
                    self.got.append(int(found.payload))
                    self.client.send(ack('PUBACK', found.packet_id))
                elif found.type == 'PUBACK':
                    self.acked += 1
                else:
                    raise AssertionError(repr(found))
        except Exception as error:
            self.error = error


def mutual(fleet, name):
    """Two clients that flood each other do not lock each other up; nor does one that floods itself."""
    count = 3000
    a, b, self_ = fleet.client('drone', level=5), fleet.client('gcs', level=5), fleet.client('drone', level=5)
    a.subscribe('/load/to/a', qos=1)
    b.subscribe('/load/to/b', qos=1)
    self_.subscribe('/load/to/self', qos=1)
    floods = [Flood(a, '/load/to/b', count), Flood(b, '/load/to/a', count), Flood(self_, '/load/to/self', count)]
    for flood in floods:
        flood.start()
    for flood in floods:
        flood.join(60)
        ok(flood.error is None and flood.got == list(range(count)), name + '%d messages to %s, in order' % (count, flood.to)) or diag(repr(flood.error))


for workers in (1, 2):
    name = '%d workers: ' % workers
    fleet = Fleet(workers=workers, policy=POLICY, mqtt=MQTT, name='slow')
    for part in (window, stalled, deaf):
        diag(part.__doc__)
        part(fleet, name)
    fleet.stop()
    # nobody is slow on purpose here: a machine that is short of time must not look like it
    fleet = Fleet(workers=workers, policy=POLICY, mqtt=MQTT.replace('500ms;\n    sys', '60s;\n    sys'), name='slow-mutual')
    diag(mutual.__doc__)
    mutual(fleet, name)
    fleet.stop()
tap.done()
