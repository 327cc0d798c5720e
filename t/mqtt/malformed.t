#!/usr/bin/python3
"""Malformed and misplaced packets: each gets its code (MQTT 5) or a close, costs nobody else anything; topic aliases; fragments."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
import random  # noqa: E402

import tap  # noqa: E402
from fleet import Fleet  # noqa: E402
from mqttraw import ack, auth, connect, packet, publish, string, subscribe, unsubscribe  # noqa: E402
from tap import diag, is_, ok  # noqa: E402

P = b'\x00\x01'  # a packet identifier


def table(level):
    """(name, bytes, reason of the DISCONNECT)."""
    none = b'\x00' if level == 5 else b''
    rows = [
        ('reserved type 0', b'\x00\x00', 0x81), ('CONNACK from a client', packet('CONNACK', b'\x00\x00' + none), 0x82),
        ('SUBACK from a client', packet('SUBACK', P + none + b'\x00'), 0x82), ('PINGRESP from a client', packet('PINGRESP'), 0x82),
        ('second CONNECT', connect('x', level=level), 0x82),
        ('remaining length of five bytes', b'\x30\xff\xff\xff\xff\x7f', 0x81), ('packet too large', b'\x30\xff\xff\xff\x7f', 0x95),
        ('QoS 3', packet('PUBLISH', string('/load/a') + P + none, 6), 0x81),
        ('DUP with QoS 0', packet('PUBLISH', string('/load/a') + none, 8), 0x81),
        ('packet identifier 0', publish('/load/a', b'x', 1, packet_id=0, level=level), 0x82),
        ('wildcard in a name', publish('/load/+', b'x', level=level), 0x90), ('# in a name', publish('/load/#', b'x', level=level), 0x90),
        ('empty topic', publish('', b'x', level=level), 0x82 if level == 5 else 0x90),
        ('topic with NUL', publish('/load/\x00', b'x', level=level), 0x81),
        ('topic with a surrogate', publish('/load/\ud800', b'x', level=level), 0x81),
        ('topic that is not UTF-8', publish(b'/load/\xc0\x80', b'x', level=level), 0x81),
        ('topic longer than the packet', packet('PUBLISH', b'\x00\x20abc'), 0x81),
        ('SUBSCRIBE with flags 0', packet('SUBSCRIBE', P + none + string('a') + b'\x00', 0), 0x81),
        ('SUBSCRIBE without filters', packet('SUBSCRIBE', P + none, 2), 0x82),
        ('SUBSCRIBE with id 0', subscribe([('/load/a', 0)], 0, None, level), 0x82),
        ('SUBSCRIBE QoS 3', subscribe([('/load/a', 3)], 1, None, level), 0x82),
        ('SUBSCRIBE with reserved bits', subscribe([('/load/a', 0xC0)], 1, None, level), 0x81),
        ('SUBSCRIBE to an empty filter', subscribe([('', 0)], 1, None, level), 0x8F),
        ('SUBSCRIBE to a#', subscribe([('/load/a#', 0)], 1, None, level), 0x8F),
        ('SUBSCRIBE to #/a', subscribe([('#/a', 0)], 1, None, level), 0x8F),
        ('SUBSCRIBE to a+/b', subscribe([('a+/b', 0)], 1, None, level), 0x8F),
        ('SUBSCRIBE with NUL', subscribe([('a\x00', 0)], 1, None, level), 0x81),
        ('SUBSCRIBE cut short', packet('SUBSCRIBE', P + none + b'\x00\x05ab', 2), 0x81),
        ('UNSUBSCRIBE without filters', packet('UNSUBSCRIBE', P + none, 2), 0x82),
        ('UNSUBSCRIBE with flags 0', packet('UNSUBSCRIBE', P + none + string('a'), 0), 0x81),
        ('UNSUBSCRIBE from #a', unsubscribe(['#a'], 1, None, level), 0x8F),
        ('PUBACK cut short', packet('PUBACK', b'\x00'), 0x81), ('PUBACK 0', ack('PUBACK', 0), 0x82),
        ('PUBREC', ack('PUBREC', 1), 0x82), ('PUBREL', ack('PUBREL', 1), 0x82), ('PUBCOMP', ack('PUBCOMP', 1), 0x82),
        ('PINGREQ with a body', packet('PINGREQ', b'x'), 0x81), ('PINGREQ with flags', packet('PINGREQ', b'', 1), 0x81),
        ('DISCONNECT with flags', packet('DISCONNECT', b'', 1), 0x81),
    ]
    if level == 4:
        rows.append(('AUTH', packet('AUTH'), 0x81))
        return rows
    return rows + [
        ('remaining length not in its shortest form', b'\x30\x8c\x00' + publish('/load/a', b'x', level=5)[2:], 0x81),
        ('property list longer than the packet', packet('PUBLISH', string('/load/a') + b'\x7f'), 0x81),
        ('unknown property', publish('/load/a', b'x', props=b'\x02\x7f\x00', level=5), 0x81),
        ('property twice', publish('/load/a', b'x', props=[('content_type', 'a'), ('content_type', 'b')], level=5), 0x82),
        ('subscription identifier in PUBLISH', publish('/load/a', b'x', props=[('subscription_id', 1)], level=5), None),
        ('payload format 2', publish('/load/a', b'x', props=[('payload_format', 2)], level=5), 0x82),
        ('response topic with a wildcard', publish('/load/a', b'x', props=[('response_topic', 'a/#')], level=5), None),
        ('too many user properties', publish('/load/a', b'x', props=[('user_property', ('a', 'b'))] * 65, level=5), 0x97),
        ('topic alias 0', publish('/load/a', b'x', props=[('topic_alias', 0)], level=5), 0x94),
        ('topic alias above the maximum', publish('/load/a', b'x', props=[('topic_alias', 11)], level=5), 0x94),
        ('topic alias that was never set', publish('', b'x', props=[('topic_alias', 3)], level=5), 0x82),
        ('subscription identifier 0', subscribe([('/load/a', 0)], 1, [('subscription_id', 0)], 5), 0x82),
        ('retain handling 3', subscribe([('/load/a', 0x30)], 1, None, 5), 0x82),
        ('no local on a shared subscription', subscribe([('$share/g/a', 4)], 1, None, 5), 0x82),
        ('shared without a group', subscribe([('$share//a', 0)], 1, None, 5), 0x8F),
        ('shared without a filter', subscribe([('$share/g', 0)], 1, None, 5), 0x8F),
        ('AUTH', auth(0x18, [('auth_method', 'x')]), 0x82), ('AUTH without a method', auth(0x18), 0x82),
        ('PUBACK with a reason that it cannot have', ack('PUBACK', 1, 0x8E), 0x82),
        ('DISCONNECT with a reason of servers', packet('DISCONNECT', b'\x8b'), 0x82),
        ('QoS 2', publish('/load/a', b'x', 2, level=5), 0x9B),
    ]


def malformed(fleet):
    """The table."""
    witness = fleet.client('gcs', level=5)
    witness.subscribe('/load/witness', qos=1)
    for level in (4, 5):
        for name, data, code in table(level):
            client = fleet.client('drone', level=level)
            client.send(data)
            last = client.expect_closed(code if level == 5 else None)
            ok(level == 5 or last is None, 'level %d: %s' % (level, name) + ('' if level == 4 else ', 0x%02x' % last.reason))
            client.close()
    fleet.client('drone').publish('/load/witness', b'x', qos=1)
    witness.receive()
    witness.expect_nothing()
    ok(True, 'nobody else noticed')


def aliases(fleet):
    """Topic aliases (MQTT 5 3.3.2.3.4)."""
    sub, pub = fleet.client('gcs', level=5), fleet.client('drone', level=5)
    sub.subscribe('/load/alias/#', qos=1)
    for number in range(1, 11):
        pub.publish('/load/alias/%d' % number, b'set', qos=1, props=[('topic_alias', number)])
        sub.receive(topic='/load/alias/%d' % number)
    for number in (10, 1, 5, 5):
        pub.publish('', b'use', qos=1, props=[('topic_alias', number)])
        sub.receive(topic='/load/alias/%d' % number, payload=b'use')
    pub.publish('/load/alias/new', b'again', qos=1, props=[('topic_alias', 5)])
    sub.receive(topic='/load/alias/new')
    pub.publish('', b'use', qos=1, props=[('topic_alias', 5)])
    sub.receive(topic='/load/alias/new', payload=b'use')
    ok(True, 'aliases are set, used and set again')
    forbidden = pub.publish('/policy/x', b'x', qos=1, props=[('topic_alias', 6)])
    is_(forbidden.reason, 0x87, 'an alias is resolved before access is looked at')
    is_(pub.publish('', b'x', qos=1, props=[('topic_alias', 6)]).reason, 0x87, 'also when it is used')


def fragments(fleet):
    """Packets cut anywhere, and many in one piece."""
    chance = random.Random(4711)
    sub = fleet.client('gcs', level=5)
    sub.subscribe('/load/cut', qos=1)
    pub = fleet.client('drone', level=5)
    stream = b''.join(publish('/load/cut', b'%d ' % n + b'x' * chance.randrange(300), n % 2, packet_id=n + 1, level=5) for n in range(300))
    while stream:
        size = chance.choice((1, 2, 3, 7, 50, 1000, 5000))
        pub.send(stream[:size])
        stream = stream[size:]
    got = [int(sub.receive().payload.split()[0]) for _ in range(300)]
    is_(got, list(range(300)), '300 packets cut at random places')


def noise(fleet):
    """Random bytes behind CONNECT, and instead of it."""
    chance = random.Random(815)
    for number in range(60):
        client = fleet.open('drone', level=4) if number % 2 else fleet.client('drone', level=5)
        client.send(bytes(chance.randrange(256) for _ in range(chance.randrange(1, 400))))
        client.close()
    fleet.serves()
    ok(True, 'it serves on after 60 helpings of noise')


fleet = Fleet(mqtt='    max_packet 100k;\n', name='malformed')
for part in (malformed, aliases, fragments, noise):
    diag(part.__doc__)
    part(fleet)
fleet.done()
