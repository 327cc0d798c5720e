#!/usr/bin/python3
"""Retained messages: with 1, 2 and 4 workers, over a restart, with every retain handling, and access looked at when they are delivered."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
import tap  # noqa: E402
from fleet import Fleet  # noqa: E402
from mqttraw import options  # noqa: E402
from tap import diag, is_, ok  # noqa: E402


def settled(client):
    """All queries so far are answered: they are in order, and this one finds something. Others stay in the inbox."""
    client.subscribe('/load/sentinel', qos=0)
    client.wait_for('PUBLISH', topic='/load/sentinel')
    client.unsubscribe('/load/sentinel')


def basics(fleet, name):
    """Set, get, replace, delete."""
    pub = fleet.client('drone', level=5)
    pub.publish('/load/sentinel', b'here', qos=1, retain=True)
    for payload in (b'1', b'2'):
        pub.publish('/load/r/a', payload, qos=1, retain=True)
    pub.publish('/load/r/b', b'q0', qos=0, retain=True)
    pub.publish('/load/r/c', b'not', qos=1)
    pub.ping()
    pub.publish('/load/r/d', b'props', qos=1, retain=True, props=[('content_type', 'x'), ('message_expiry', 500), ('user_property', ('k', 'v'))])
    for client, _ in fleet.spread('gcs', level=5) + fleet.spread('gcs', level=4):
        client.subscribe('/load/r/#', qos=1)
        got = {}
        for _ in range(3):
            p = client.receive()
            got[p.topic] = (p.payload, p.qos, p.retain)
        is_(got, {'/load/r/a': (b'2', 1, True), '/load/r/b': (b'q0', 0, True), '/load/r/d': (b'props', 1, True)}, name + 'a new subscription gets what is retained')
        settled(client)
        client.expect_nothing()
        client.close()
    sub = fleet.client('gcs', level=5)
    sub.subscribe('/load/r/d', qos=0)
    got = sub.receive(topic='/load/r/d', qos=0)
    is_((got.prop('content_type'), got.prop('user_property')), ('x', ('k', 'v')), name + 'with its properties')
    ok(got.prop('message_expiry') <= 500, name + 'and its expiry')
    pub.publish('/load/r/a', b'', qos=1, retain=True)
    again = fleet.client('gcs', level=4)
    again.subscribe('/load/r/a', qos=1)
    settled(again)
    again.expect_nothing()
    ok(True, name + 'an empty payload deletes')


def handling(fleet, name):
    """Retain handling (MQTT 5 3.8.3.1), subscription identifiers."""
    pub, sub = fleet.client('drone', level=5), fleet.client('gcs', level=5)
    pub.publish('/load/h', b'x', qos=1, retain=True)
    sub.subscribe(('/load/h', options(1, retain_handling=2)))
    settled(sub)
    sub.expect_nothing()
    sub.subscribe(('/load/h', options(1, retain_handling=1)))
    settled(sub)
    sub.expect_nothing()
    sub.subscribe(('/load/h', options(1, retain_handling=0)), props=[('subscription_id', 5)])
    is_(sub.receive(topic='/load/h').prop('subscription_id'), 5, name + 'handling 0 gives it again, with the identifier')
    sub.unsubscribe('/load/h')
    sub.subscribe(('/load/h', options(1, retain_handling=1)))
    sub.receive(topic='/load/h')
    ok(True, name + 'handling 1 gives it to a new subscription')
    sub.expect_nothing()


def judged(fleet, name):
    """Access is looked at for each topic."""
    drone = fleet.client('drone', level=5)
    drone.publish('/ddos/x', b'x', qos=1, retain=True)
    drone.publish('/load/seen', b'x', qos=1, retain=True)
    sub = fleet.client('gcs', level=5)
    sub.subscribe('#', qos=0)
    settled(sub)
    topics = {p.topic for p in sub.inbox}
    ok('/load/seen' in topics and '/ddos/x' not in topics, name + 'only what the subscriber may read') or diag(topics)


def many(fleet, name):
    """More than fit into the output at a time."""
    pub = fleet.client('drone', level=4)
    for number in range(3000):
        pub.publish('/load/many/%d' % number, b'x' * 700, qos=0, retain=True)
    pub.publish('/load/many/last', b'x', qos=1, retain=True)
    for qos in (0, 1):
        sub = fleet.client('gcs', level=4)
        sub.subscribe('/load/many/#', qos=qos)
        got = {sub.receive().topic for _ in range(3001)}
        is_(len(got), 3001, name + '3,001 retained messages, QoS %d' % qos)
        sub.close()
    for number in range(3000):
        pub.publish('/load/many/%d' % number, b'', qos=0, retain=True)
    pub.publish('/load/many/last', b'', qos=1, retain=True)


def restart(fleet, name):
    """What was acknowledged is there after a restart."""
    pub = fleet.client('drone', level=5)
    pub.publish('/load/kept', b'kept', qos=1, retain=True)
    fleet.gateway.stop()
    fleet.start()
    sub = fleet.client('gcs', level=5)
    sub.subscribe('/load/kept', qos=1)
    sub.receive(topic='/load/kept', payload=b'kept', retain=True)
    ok(True, name + 'a retained message survives a restart')


for workers in (1, 2, 4):
    name = '%d workers: ' % workers
    fleet = Fleet(workers=workers, name='retained')
    for part in (basics, handling, judged, many, restart):
        diag(part.__doc__)
        part(fleet, name)
    fleet.stop()
tap.done()
