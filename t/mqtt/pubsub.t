#!/usr/bin/python3
"""Publish and subscribe with 1, 2 and 4 workers: every QoS and version, wildcards, options of MQTT 5, order, properties."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from fleet import Fleet  # noqa: E402
from mqttraw import options, subscribe  # noqa: E402
from tap import diag, done, is_, ok  # noqa: E402


def matrix(fleet, name):
    """Every QoS and version on both sides, from every worker to every worker."""
    subs = {(level, qos): [c for c, _ in fleet.spread('gcs', level=level)] for level in (4, 5) for qos in (0, 1)}
    for (_, qos), clients in subs.items():
        for client in clients:
            client.subscribe('/load/matrix/+', qos=qos)
    pubs = [(c, level) for level in (4, 5) for c, _ in fleet.spread('drone', level=level)]
    bad = []
    for number, (pub, level) in enumerate(pubs):
        for qos in (0, 1):
            payload = b'%d-%d' % (number, qos)
            pub.publish('/load/matrix/%d' % number, payload, qos=qos)
            for (_, asked), clients in subs.items():
                for client in clients:
                    got = client.receive()
                    if (got.topic, got.payload, got.qos) != ('/load/matrix/%d' % number, payload, min(asked, qos)):
                        bad.append((number, qos, asked, got))
    for clients in subs.values():
        for client in clients:
            client.expect_nothing()
            client.close()
    is_(bad, [], name + '%d publishers, %d subscribers: everything came, with the lower QoS' % (len(pubs), sum(map(len, subs.values()))))


def wildcards(fleet, name):
    """Filters and names."""
    cases = [('/load/a', '/load/a', True), ('/load/a', '/load/+', True), ('/load/a/b', '/load/+', False), ('/load/a/b', '/load/+/b', True),
             ('/load/a/b', '/load/#', True), ('/load/', '/load/+', True), ('/load/a', '/load/a/#', True), ('/load//b', '/load/+/b', True),
             ('/load/A', '/load/a', False), ('/load/a', '/+/a', True), ('/load/a', '+/+/a', True), ('/load/a', '#', True),
             ('/load/\u00e9\u4e2d', '/load/\u00e9\u4e2d', True)]
    sub, pub = fleet.client('controller', level=5), fleet.client('drone', level=5)
    for topic, pattern, matches in cases:
        sub.subscribe(pattern, qos=1)
        pub.publish(topic, b'x', qos=1)
        if matches:
            got = sub.receive()
            is_(got.topic, topic, name + '%s matches %s' % (pattern, topic))
        sub.expect_nothing()
        is_(sub.unsubscribe(pattern).reasons, [0], name + 'unsubscribed from ' + pattern)
    is_(sub.unsubscribe('/load/never', '/load/neither').reasons, [0x11, 0x11], name + 'UNSUBSCRIBE of what was never there: 0x11')
    pub.publish('/load/a', b'x', qos=1)
    sub.expect_nothing()


def version_5(fleet, name):
    """Subscription identifiers, no local, retain as published, PUBACK 0x10, properties, expiry."""
    sub, pub = fleet.client('gcs', level=5), fleet.client('drone', level=5)
    is_(pub.publish('/load/nobody', b'x', qos=1).reason, 0x10, name + 'nobody listens: PUBACK 0x10')
    sub.subscribe('/load/v/#', qos=0, props=[('subscription_id', 7)])
    sub.subscribe('/load/v/+', qos=1, props=[('subscription_id', 268435455)])
    props = [('payload_format', 1), ('content_type', 'text/plain'), ('response_topic', 'r/t'), ('correlation_data', b'\x00\xff'),
             ('user_property', ('a', '1')), ('user_property', ('a', '2')), ('message_expiry', 1000)]
    is_(pub.publish('/load/v/a', 'h\u00e9', qos=1, props=props).reason, 0, name + 'somebody listens: PUBACK 0')
    got = sub.receive(topic='/load/v/a', payload='h\u00e9')
    is_(got.qos, 1, name + 'overlapping filters: one delivery with the highest QoS')
    is_(sorted(got.prop_all('subscription_id')), [7, 268435455], name + 'and both identifiers')
    is_(got.prop_all('user_property'), [('a', '1'), ('a', '2')], name + 'user properties in order')
    is_([got.prop(p) for p in ('payload_format', 'content_type', 'response_topic', 'correlation_data')],
        [1, 'text/plain', 'r/t', b'\x00\xff'], name + 'properties pass through')
    ok(got.prop('message_expiry') in (999, 1000), name + 'the expiry is counted down')
    sub.expect_nothing()
    both = fleet.client('drone', level=5)
    both.subscribe('/load/local', qos=1, no_local=True)
    both.publish('/load/local', b'own', qos=1)
    pub.publish('/load/local', b'other', qos=1)
    both.receive(topic='/load/local', payload=b'other')
    both.expect_nothing()
    ok(True, name + 'no local')
    for rap in (False, True):
        sub.subscribe(('/load/rap', options(1, retain_as_published=rap)))
        pub.publish('/load/rap', b'y', qos=1, retain=True)
        is_(sub.receive(topic='/load/rap').retain, rap, name + 'the flag of a live message with retain as published %s' % rap)
        sub.unsubscribe('/load/rap')
        pub.publish('/load/rap', b'', qos=1, retain=True)
    bad = fleet.client('drone', level=5)
    bad.publish('/load/utf8', b'\xff', qos=1, props=[('payload_format', 1)], wait=False)
    bad.expect_closed(0x99)
    ok(True, name + 'a payload that is not the UTF-8 it claims to be: 0x99')


def order(fleet, name):
    """Many messages, with and without acknowledgement, in order."""
    count = 2000
    subs = [c for c, _ in fleet.spread('gcs', level=5)]
    for sub in subs:
        sub.subscribe('/load/order', qos=1)
    pub = fleet.client('drone', level=5)
    for number in range(count):
        pub.publish('/load/order', b'%d' % number, qos=1, wait=False)
        if number % 500 == 499:
            for _ in range(500):
                pub.expect('PUBACK')
    for sub in subs:
        got = [int(sub.receive(topic='/load/order').payload) for _ in range(count)]
        ok(got == list(range(count)), name + 'all %d in order' % count)


def sizes(fleet, name):
    """Payloads of every size, by copy and by reference, across workers."""
    subs = [c for level in (4, 5) for c, _ in fleet.spread('gcs', level=level)]
    pub = fleet.client('drone', level=5)
    for sub in subs:
        sub.subscribe('/load/size', qos=1)
    bad = []
    for size in (0, 1, 100, 4095, 4096, 4097, 16383, 16384, 16385, 65535, 65536, 300000, 1000000):
        payload = os.urandom(size)
        pub.publish('/load/size', payload, qos=1)
        bad += [size for sub in subs if sub.receive().payload != payload]
    is_(bad, [], name + 'payloads up to 1,000,000 bytes come unchanged')
    small = fleet.client('gcs', level=5, props=[('maximum_packet_size', 100)])
    small.subscribe('/load/size', qos=1)
    pub.publish('/load/size', b'x' * 200, qos=1)
    pub.publish('/load/size', b'fits', qos=1)
    small.receive(payload=b'fits')
    ok(True, name + 'what is larger than the client takes is left out')


def limits(fleet, name):
    """Long and deep topics."""
    sub, pub = fleet.client('gcs', level=5), fleet.client('drone', level=5)
    long = '/load/' + 'x' * (65535 - 6)
    sub.subscribe('/load/#', qos=1)
    pub.publish(long, b'x', qos=1)
    is_(sub.receive().topic, long, name + 'a topic of 65,535 bytes')
    is_(sub.subscribe(long, qos=1), [1], name + 'and a subscription to it')
    deep = '/load' + '/a' * 126
    pub.publish(deep, b'x', qos=1)
    is_(sub.receive().topic, deep, name + 'a topic of 128 levels')
    pub.publish('/load' + '/a' * 998, b'x', qos=1, wait=False)
    pub.expect_closed(0x90)
    ok(True, name + 'a topic of 1,000 levels: 0x90')
    other = fleet.client('gcs', level=5)
    other.send(subscribe([('/load' + '/+' * 998, 1)], 1, None, 5))
    other.expect_closed(0x8F)
    ok(True, name + 'a filter of 1,000 levels: 0x8F')
    sub.ping()


for workers in (1, 2, 4):
    name = '%d workers: ' % workers
    fleet = Fleet(workers=workers, name='pubsub', policy='\n max_qos 1; retain on; max_payload 2m; unknown_realm deny;\n', mqtt='    max_packet 2m;\n')
    for part in (matrix, wildcards, version_5, order, sizes, limits):
        diag(part.__doc__)
        part(fleet, name)
    fleet.stop()
done()
