#!/usr/bin/python3
"""$SYS topics, and the counters behind them."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
import tap  # noqa: E402
from fleet import Fleet, until  # noqa: E402
from mqttraw import options  # noqa: E402
from tap import diag, is_, like, ok  # noqa: E402


def snapshot(client, pattern='$SYS/#'):
    """Subscribes, and returns {topic: value} of what comes at once."""
    client.subscribe(pattern, qos=1)
    client.ping()
    found = {p.topic: p.payload.decode() for p in client.inbox if p.type == 'PUBLISH'}
    client.inbox.clear()
    return found


def everything(fleet, name):
    """Names and values."""
    drones = [c for c, _ in fleet.spread('drone', level=5)]
    gcs = fleet.client('gcs', level=5)
    gcs.subscribe('/load/a', '/load/b', qos=1)
    for drone in drones:
        drone.publish('/load/a', b'12345', qos=1)
        drone.publish('/load/keep', b'x', qos=1, retain=True)
        gcs.receive(topic='/load/a')
    drones[0].publish('/rl/log', b'x', qos=1)
    watch = fleet.client('operator', level=5)
    got = snapshot(watch)
    for topic in ('version', 'uptime', 'clients/total', 'clients/maximum', 'messages/received', 'messages/sent', 'messages/stored', 'store/messages/bytes',
                  'subscriptions/count', 'retained messages/count', 'publish/messages/dropped', 'publish/bytes/sent', 'bytes/received',
                  'load/messages/received/1min', 'load/bytes/sent/15min', 'load/connections/5min', 'load/sockets/1min'):
        ok('$SYS/broker/' + topic in got, name + topic) or diag(sorted(got))
    like(got['$SYS/broker/version'], r'^sallyport version \d', name + 'the version')
    like(got['$SYS/broker/uptime'], r'^\d+ seconds', name + 'the uptime')
    is_(got['$SYS/broker/clients/connected'], str(len(drones) + 2), name + 'clients of all workers')
    is_(got['$SYS/broker/subscriptions/count'], '3', name + 'subscriptions')
    is_(got['$SYS/broker/publish/messages/received'], str(2 * len(drones) + 1), name + 'publications received')
    ok(int(got['$SYS/broker/publish/bytes/received']) >= 5 * len(drones), name + 'bytes of payload')
    until(lambda: snapshot(fleet.client('operator', level=4), '$SYS/broker/retained messages/count').get('$SYS/broker/retained messages/count') == '1',
          'one retained message is counted')
    ok(True, name + 'retained messages are counted')


def subscribers(fleet, name):
    """Who gets what when."""
    watch = fleet.client('operator', level=5)
    watch.subscribe(('$SYS/broker/clients/#', options(1, retain_handling=2)))
    watch.subscribe('$SYS/broker/version', qos=1, props=[('subscription_id', 9)])
    got = watch.wait_for('PUBLISH', topic='$SYS/broker/version')
    is_((got.retain, got.qos, got.prop('subscription_id')), (True, 0, 9), name + 'a new subscriber gets the value as a retained message')
    extra = fleet.client('gcs')
    watch.wait_for('PUBLISH', topic='$SYS/broker/clients/connected', retain=False)
    ok(True, name + 'a change is published, not as retained')
    watch.unsubscribe('$SYS/broker/clients/#')
    extra.close()
    other = fleet.client('drone', level=5)
    is_(other.subscribe('$SYS/#', check=False), [0x87], name + 'without permission: refused')
    is_(other.publish('$SYS/broker/version', b'x', qos=1).reason, 0x87, name + 'publishing there: refused')
    wild = fleet.client('controller', level=5)
    wild.subscribe('#', '+/broker/version', qos=1, check=False)
    marker = fleet.client('drone', level=5)
    marker.publish('/load/marker', b'x', qos=1)
    wild.wait_for('PUBLISH', topic='/load/marker')
    ok(not [p for p in wild.inbox if p.type == 'PUBLISH' and p.topic.startswith('$')], name + 'a leading wildcard does not match $SYS')


for workers in (1, 2, 4):
    name = '%d workers: ' % workers
    fleet = Fleet(workers=workers, mqtt='    sys_interval 300ms;\n', name='sys')
    for part in (everything, subscribers):
        diag(part.__doc__)
        part(fleet, name)
    fleet.stop()
tap.done()
