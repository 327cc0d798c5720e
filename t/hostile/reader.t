#!/usr/bin/python3
"""Clients that stop reading, with QoS 0 and 1, on every worker: what they cost is bounded, publishers do not wait for long, the others
get everything, and in the end they are let go."""

import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from fleet import WAIT_S, Bystanders, Fleet  # noqa: E402
from mqttraw import MqttClosed, MqttTimeout  # noqa: E402
from tap import diag, is_, ok  # noqa: E402

SIZE = 20000


def stalled(qos, level):
    """Subscribers that never read again, one on every worker at least."""
    found = []
    for _ in range(8 * fleet.workers):
        client = fleet.client('controller', level=level, rcvbuf=4096)
        client.subscribe('/load/flood', qos=qos)
        found.append(client)
        homes = {fleet.worker_of(one) for one in found}
        if None not in homes and homes.issuperset(fleet.pids()['workers']):
            break
    return found


def flood(qos, level, count):
    """Publishes `count` messages of SIZE bytes, a few at a time, as fast as they are taken; returns the seconds it took."""
    drone = fleet.client('drone', level=level)
    body = b'f' * SIZE
    begun = time.monotonic()
    for number in range(count):
        drone.publish('/load/flood', body, qos=qos)
        if qos == 0 and number % 50 == 0:
            drone.ping()
    drone.ping()
    took = time.monotonic() - begun
    drone.close()
    return took


def closed(client):
    """Whether the gateway let it go: reads what was on its way until the end."""
    try:
        while True:
            found = client.read(WAIT_S)
            if found.type == 'DISCONNECT':
                return found.reason
    except MqttClosed:
        return 'closed'
    except MqttTimeout:
        return None


fleet = Fleet(name='reader', policy='''
    max_qos 1; retain on; max_payload 64k; rate off; unknown_realm deny;
''', mqtt='    stall_timeout 2s;\n    max_queued 100;\n    max_queued_bytes 1m;\n')
others = Bystanders(fleet)
for qos in (0, 1):
    for level in (4, 5):
        name = 'QoS %d, level %d' % (qos, level)
        deaf = stalled(qos, level)
        watch = fleet.client('controller', level=level)
        watch.subscribe('/load/after', qos=1)
        took = flood(qos, level, 1000 if qos == 0 else 400)
        diag('%s: %d deaf clients, the flood took %.1f s' % (name, len(deaf), took))
        ok(took < 60, name + ': the publisher got through')
        others.untouched(name, grown_bytes=96 << 20)
        with fleet.client('drone') as drone:
            drone.publish('/load/after', b'after', qos=1)
        watch.receive(topic='/load/after', payload=b'after')
        ok(True, name + ': a client that reads is served')
        if qos == 1:
            ends = [closed(client) for client in deaf]
            is_([end for end in ends if end is None], [], name + ': the deaf ones were let go')
            diag(ends)
        for client in deaf + [watch]:
            client.close()
others.end()
fleet.done()
