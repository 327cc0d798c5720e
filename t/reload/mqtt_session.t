#!/usr/bin/python3
"""What a reload does to an MQTT session: queued messages, subscriptions that end and come back, settings, limits, the end of a listener."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
import tap  # noqa: E402
from fleet import Fleet  # noqa: E402
from tap import diag, is_, like, ok  # noqa: E402

LOAD = 'allow gcs subscribe "/algo/desired" "/load/#" "/will/#";'


def queued(fleet, name):
    """Messages that wait for a client are dropped when it may not have them any more; the rest comes."""
    for level in (4, 5):
        props = [('receive_maximum', 1)] if level == 5 else None
        sub = fleet.client('gcs', level=level, props=props)
        sub.subscribe('/load/a', '/will/b', qos=1)
        pub = fleet.client('drone', level=5)
        for number in range(30):
            pub.publish('/load/a', b'a%d' % number, qos=1)
            pub.publish('/will/b', b'b%d' % number, qos=1)
        fleet.edit(LOAD, LOAD.replace('"/load/#" ', ''))
        fleet.reload()
        sub.ping()
        before = len(sub.inbox)
        got = [sub.receive() for _ in range(before)]
        while not got or got[-1].payload != b'b29':
            got.append(sub.receive())
        late = [p.payload for p in got[before:] if p.topic == '/load/a']
        if level == 5:
            is_(before, 1, name + 'level 5: one message was on its way')
            is_(late, [], name + 'level 5: nothing forbidden comes out of the queue')
        is_([p.payload for p in got if p.topic == '/will/b'], [b'b%d' % n for n in range(30)], name + 'level %d: the rest comes, in order' % level)
        pub.publish('/load/a', b'no', qos=1)
        sub.expect_nothing()
        fleet.edit(LOAD.replace('"/load/#" ', ''), LOAD)
        fleet.reload()
        pub.publish('/load/a', b'again', qos=1)
        sub.receive(topic='/load/a', payload=b'again')
        sub.expect_nothing()
        ok(True, name + 'level %d: allowed again, it comes again' % level)
        sub.close()
    like(fleet.log(), r'client=gcs topic=/load/a subscription ended by reload: subscribe denied by \S+sallyport\.conf:\d+', name + 'the log says so')


def dormant(fleet, name):
    """A subscription that was ended can be unsubscribed, or asked for again."""
    sub, pub = fleet.client('gcs', level=5), fleet.client('drone', level=5)
    pub.publish('/load/kept', b'old', qos=1, retain=True)
    sub.subscribe('/load/x', '/load/y', '/load/kept', qos=1)
    sub.receive(topic='/load/kept')
    fleet.edit(LOAD, LOAD.replace('"/load/#" ', ''))
    fleet.reload()
    is_(sub.unsubscribe('/load/x').reasons, [0], name + 'UNSUBSCRIBE finds what a reload has ended')
    is_(sub.subscribe('/load/y', check=False), [0x87], name + 'asked for again: refused')
    fleet.edit(LOAD.replace('"/load/#" ', ''), LOAD)
    fleet.reload()
    sub.receive(topic='/load/kept', payload=b'old', retain=True)
    ok(True, name + 'what comes back brings its retained messages')
    for topic in ('/load/x', '/load/y'):
        pub.publish(topic, b'x', qos=1)
    sub.expect_nothing()
    ok(True, name + 'what the client knows to be gone stays gone')
    is_(sub.subscribe('/load/x', qos=1), [1], name + 'and may be had anew')
    pub.publish('/load/kept', b'', qos=1, retain=True)


def settings(fleet, name):
    """Live settings hold for live sessions, those that were announced stay."""
    client = fleet.client('gcs', level=5)
    fleet.edit('max_subscriptions 5;', 'max_subscriptions 2; max_packet 1k; topic_alias_maximum 0;')
    fleet.reload()
    is_(client.subscribe('/load/1', '/load/2', '/load/3', check=False), [0, 0, 0x97], name + 'max_subscriptions')
    client.publish('/load/z', b'x' * 5000, qos=1)
    client.publish('/load/z', b'x', qos=1, props=[('topic_alias', 10)])
    ok(True, name + 'max_packet and topic_alias_maximum stay what CONNACK said')
    new = fleet.client('gcs', level=5)
    is_((new.connack.prop('maximum_packet_size'), new.connack.prop('topic_alias_maximum')), (1024, None), name + 'new sessions get the new ones')
    fleet.edit('max_subscriptions 2; max_packet 1k; topic_alias_maximum 0;', 'max_subscriptions 5;')
    fleet.reload()


def listener(fleet, name):
    """The end of a listener is the end of its sessions; others stay."""
    port = fleet.gateway.port_of(2)
    line = 'mqtt {\n    listen 127.0.0.1:%d trust=fleet identity=cn;\n}\n' % port
    fleet.write_conf(fleet.conf + line)
    fleet.reload()
    home, fleet.port = fleet.port, port
    there = [fleet.client('gcs', level=5), fleet.client('drone', level=4)]
    fleet.port = home
    here = fleet.client('controller', level=5)
    here.subscribe('/load/#', qos=1)
    there[1].publish('/load/a', b'x', qos=1)
    here.receive(payload=b'x')
    fleet.write_conf(fleet.conf.replace(line, ''))
    fleet.reload()
    there[0].expect_closed(0x8B)
    there[1].expect_closed()
    here.ping()
    ok(True, name + 'sessions of a listener that is no more are closed with 0x8B, others stay')


for workers in (1, 2, 4):
    name = '%d workers: ' % workers
    fleet = Fleet(workers=workers, mqtt='    max_subscriptions 5;\n', name='mqtt-session')
    for part in (queued, dormant, settings, listener):
        diag(part.__doc__)
        part(fleet, name)
    fleet.stop()
tap.done()
