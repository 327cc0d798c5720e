#!/usr/bin/python3
"""Topics of 65,535 bytes and of 1,000 levels, and very many of them: served within the limits, in bounded memory."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from fleet import Bystanders, Fleet  # noqa: E402
from mqttraw import MqttError, publish  # noqa: E402
from tap import diag, is_, lives, ok  # noqa: E402

REALM = '''
    topics "/load/#" "/policy/#";
    allow drone publish "/load/#" "/policy/#";
    allow drone subscribe "/load/#";
    allow gcs publish "/load/#";
    allow controller subscribe "/load/#" "/policy/#";
    allow controller publish "/load/#";
'''
LONG = '/policy/' + 'x' * (65535 - 8)
DEEP = '/load' + '/l' * 998
DEEPEST = '/load' + '/' * (65535 - 5)


def long_topics():
    """The longest topic that there can be."""
    for level in (4, 5):
        watch, drone = fleet.client('controller', level=level), fleet.client('drone', level=level)
        is_(watch.subscribe(LONG, qos=1), [1], 'level %d: a filter of 65,535 bytes' % level)
        is_(watch.subscribe('/policy/+', qos=0), [0], 'level %d: and a wildcard over it' % level)
        drone.publish(LONG, b'long', qos=1)
        found = watch.receive()
        is_((found.topic == LONG, found.payload), (True, b'long'), 'level %d: a message to it arrives' % level)
        watch.unsubscribe('/policy/+')
        answer = watch.unsubscribe(LONG)
        ok(answer, 'level %d: and is unsubscribed' % level)
        drone.publish(LONG, b'long', qos=1)
        watch.expect_nothing()
        is_(fleet.client('drone', level=level).subscribe('/policy/' + 'x' * 65000, check=False), [0x87 if level == 5 else 0x80],
            'level %d: a long filter that is forbidden is refused' % level)
        done = drone.publish('/rl/' + 'x' * 65000, b'x', qos=1)
        ok(done.type == 'PUBACK' and (level == 4 or done.reason == 0x87), 'level %d: so is a long topic' % level)


def deep_topics():
    """A thousand levels, where max_topic_levels permits."""
    watch, drone = fleet.client('controller', level=5), fleet.client('drone', level=5)
    is_(watch.subscribe(DEEP, qos=1), [1], 'a filter of 1,000 levels')
    is_(watch.subscribe('/load' + '/+' * 998, qos=1), [1], 'one of 1,000 levels, 998 of them wildcards')
    is_(watch.subscribe('/load' + '/+' * 900 + '/#', qos=1), [1], 'and one that ends in #')
    drone.publish(DEEP, b'deep', qos=1)
    is_(watch.receive(topic=DEEP).payload, b'deep', 'a message to it arrives')
    watch.ping()
    diag('%d more copies' % len(watch.inbox))
    watch.inbox = []
    mixed = [('/load' + '/+/l' * half + '/#', 1) for half in range(400, 440)]
    watch.subscribe(*mixed)
    for number in range(200):
        drone.publish('/load' + '/l' * (800 + number), b'x', qos=0)
    drone.publish('/load/end', b'x', qos=1)
    others.untouched('deep topics')
    for level in (4, 5):
        over = fleet.client('drone', level=level)
        over.publish(DEEPEST, b'x', wait=False)
        over.expect_closed(0x90 if level == 5 else None)
        over = fleet.client('drone', level=level)
        try:
            over.subscribe(DEEPEST, check=False)
            ok(False, 'level %d: 65,530 levels are too many' % level)
        except MqttError:
            ok(True, 'level %d: 65,530 levels are too many' % level)


def many_topics():
    """120 MB of topic names through one client."""
    drone = fleet.client('drone', level=4)
    watch = fleet.client('controller')
    watch.subscribe('/load/last', qos=1)
    for start in range(0, 30000, 100):
        drone.send(*[publish('/load/%d/%s' % (number, 'n' * 4000), b'x') for number in range(start, start + 100)])
    drone.publish('/load/last', b'x', qos=1)
    watch.receive(topic='/load/last')


def many_filters():
    """Subscribing and unsubscribing, over and over; and more than a client may have."""
    watch = fleet.client('controller', level=5)
    for turn in range(60):
        filters = ['/load/%d/%d/+/%s' % (turn, number, 'f' * 500) for number in range(50)]
        watch.subscribe(*filters)
        watch.unsubscribe(*filters)
    refused = 0
    for turn in range(30):
        refused += sum(code >= 0x80 for code in watch.subscribe(*['/load/m/%d/%d' % (turn, number) for number in range(50)], check=False))
    is_(refused, 500, 'of 1,500 subscriptions 1,000 are granted (max_subscriptions)')
    watch.ping()


def many_retained():
    """Retained messages that come and go."""
    drone = fleet.client('drone', level=4)
    for turn in range(2):
        for number in range(2000):
            drone.publish('/policy/%d/%s' % (number, 'r' * 200), b'x' if turn == 0 else b'', qos=1 if number % 100 == 99 else 0, retain=True)
    watch = fleet.client('controller')
    watch.subscribe('/policy/#', qos=1)
    watch.expect_nothing()
    ok(True, '2,000 retained messages are set and deleted')


fleet = Fleet(name='topics', realm=REALM, mqtt='    max_topic_levels 1001;\n    max_subscriptions 1000;\n')
others = Bystanders(fleet)
for part in (long_topics, deep_topics, many_topics, many_filters, many_retained):
    diag(part.__doc__)
    lives(part.__name__, part)
    others.untouched(part.__name__, grown_bytes=(fleet.workers + 1) * (56 << 20))  # a worker remembers 32 MB of topics
others.end()
fleet.done()
