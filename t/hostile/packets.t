#!/usr/bin/python3
"""Packets that the standard forbids: each ends its own connection, with the standard's code where there is one, and disturbs nobody."""

import os
import random
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from fleet import Bystanders, Fleet  # noqa: E402
from mqttraw import (MqttClosed, MqttError, MqttTimeout, ack, connect, disconnect, packet, pingreq, publish, string,  # noqa: E402
                     subscribe, unsubscribe)
from tap import diag, is_, ok  # noqa: E402

MALFORMED, PROTOCOL, BAD_TOPIC, BAD_FILTER = 0x81, 0x82, 0x90, 0x8F
SOME = None  # some code, or just a close

fleet = Fleet(name='packets')
others = Bystanders(fleet)


def ended(name, level, before, data, codes):
    """After `data` the gateway closes; with MQTT 5 and after a CONNACK a DISCONNECT with one of these codes comes first."""
    client = fleet.client('drone', level=level) if before is None else fleet.open('drone', level=level)
    try:
        client.send(data)
        last = client.expect_closed()
        ok(True, '%s: closed' % name)
        if level == 5 and codes and before is None:
            ok(last is not None and last.type == 'DISCONNECT' and last.reason in codes, '%s: with 0x%02x' % (name, codes[0])) or diag(last)
        if last is not None and last.type == 'CONNACK':
            ok(last.reason != 0, name + ': a refusing CONNACK') or diag(last)
    except MqttError as error:
        ok(False, '%s: closed' % name)
        diag(error)
    finally:
        client.close()
        fleet.clients.remove(client)


def first_packets():
    """In place of a CONNECT."""
    mqtt = string('MQTT')
    cases = {
        'an HTTP request': b'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
        'zeros': b'\x00' * 100,
        'a remaining length of five bytes': b'\x10\xff\xff\xff\xff\x7f',
        'a remaining length of 256 MB': b'\x10\xff\xff\xff\x7f' + mqtt,
        'PUBLISH first': publish('/load/a', b'x'),
        'SUBSCRIBE first': subscribe([('/load/#', 0)]),
        'PINGREQ first': pingreq(),
        'DISCONNECT first': disconnect(),
        'AUTH first': b'\xf0\x00',
        'packet type 0': b'\x00\x00',
        'CONNECT with flags in its header': packet('CONNECT', connect('x')[2:], 1),
        'protocol name "MQTTT"': connect('x', name='MQTTT'),
        'protocol name "mqtt"': connect('x', name='mqtt'),
        'protocol name of 65,535 bytes': packet('CONNECT', struct.pack('>H', 65535) + b'M' * 65535),
        'an empty protocol name': connect('x', name=''),
        'protocol level 0': connect('x', level_byte=0),
        'protocol level 6': connect('x', level_byte=6),
        'protocol level 255': connect('x', level_byte=255),
        'the reserved connect flag': connect('x', flags=0x03),
        'will QoS 3': connect('x', flags=0x1E, will={'topic': 'a'}),
        'will QoS without a will': connect('x', flags=0x0A),
        'will retain without a will': connect('x', flags=0x22),
        'password flag without user name (3.1.1)': connect('x', flags=0x42, password=b'p'),
        'a client id that goes beyond the packet': packet('CONNECT', mqtt + b'\x04\x02\x00\x3c\x00\x20ab'),
        'nothing after the protocol name': packet('CONNECT', mqtt),
        'an empty CONNECT': packet('CONNECT', b''),
        'bytes after the end': packet('CONNECT', connect('x')[2:] + b'more'),
        'a client id with a NUL': connect('a\x00b'),
        'a client id with a surrogate': connect('a\ud800b'),
        'a client id in broken UTF-8': connect(b'a\xc3'),
        'a will topic with a wildcard': connect('x', will={'topic': '/will/#', 'payload': b'x'}),
        'an empty will topic': connect('x', will={'topic': '', 'payload': b'x'}),
        'no client id and no clean session (3.1.1)': connect('', clean=False),
        'version 5, a property twice': connect('x', level=5, props=[('receive_maximum', 5), ('receive_maximum', 5)]),
        'version 5, receive maximum 0': connect('x', level=5, props=[('receive_maximum', 0)]),
        'version 5, maximum packet size 0': connect('x', level=5, props=[('maximum_packet_size', 0)]),
        'version 5, an unknown property': connect('x', level=5, props=[(0x7F, b'\x00')]),
        'version 5, a property of PUBLISH': connect('x', level=5, props=[('topic_alias', 1)]),
        'version 5, properties beyond the packet': packet('CONNECT', mqtt + b'\x05\x02\x00\x3c\x7f\x21\x00'),
        'version 5, authentication data without a method': connect('x', level=5, props=[('auth_data', b'x')]),
    }
    for name, data in cases.items():
        ended(name, 5 if name.startswith('version 5') else 4, 'connect', data, [])
    other = fleet.open('drone', level=5)
    other.send(connect('x', level=5, props=[('auth_method', 'SCRAM-SHA-1')]))
    last = other.expect_closed()
    is_(last and '0x%02x' % last.reason, '0x8c', 'an authentication method: 0x8C')
    ok(fleet.client('drone', 'x' * 200).ping(), 'a client id of 200 bytes is fine')


def packets():
    """After a CONNECT. For MQTT 5 the code of the standard; some cases have two that fit."""
    cases = [
        ('a remaining length of five bytes', b'\x30\x80\x80\x80\x80\x01', b'\x30\x80\x80\x80\x80\x01', [MALFORMED]),
        ('a packet over max_packet', b'\x30\xff\xff\xff\x7f', b'\x30\xff\xff\xff\x7f', [0x95]),
        ('a second CONNECT', connect('again'), connect('again', level=5), [PROTOCOL]),
        ('packet type 0', b'\x00\x00', b'\x00\x00', [MALFORMED, PROTOCOL]),
        ('packet type 15', b'\xf0\x00', b'\xff\x00', [MALFORMED, PROTOCOL]),
        ('CONNACK from a client', b'\x20\x02\x00\x00', b'\x20\x03\x00\x00\x00', [PROTOCOL, MALFORMED]),
        ('SUBACK from a client', b'\x90\x03\x00\x01\x00', b'\x90\x04\x00\x01\x00\x00', [PROTOCOL, MALFORMED]),
        ('PINGRESP from a client', b'\xd0\x00', b'\xd0\x00', [PROTOCOL, MALFORMED]),
        ('PINGREQ with a body', packet('PINGREQ', b'x'), packet('PINGREQ', b'x'), [MALFORMED]),
        ('PINGREQ with flags', packet('PINGREQ', b'', 1), packet('PINGREQ', b'', 1), [MALFORMED]),
        ('SUBSCRIBE without its flag', packet('SUBSCRIBE', b'\x00\x01' + string('/a') + b'\x00'),
         packet('SUBSCRIBE', b'\x00\x01\x00' + string('/a') + b'\x00'), [MALFORMED]),
        ('SUBSCRIBE of nothing', subscribe([]), subscribe([], level=5), [PROTOCOL, MALFORMED]),
        ('SUBSCRIBE with packet id 0', subscribe([('/a', 0)], 0), subscribe([('/a', 0)], 0, level=5), [PROTOCOL, MALFORMED]),
        ('SUBSCRIBE with QoS 3', subscribe([('/a', 3)]), subscribe([('/a', 3)], level=5), [PROTOCOL, MALFORMED]),
        ('SUBSCRIBE with reserved bits', subscribe([('/a', 0x80)]), subscribe([('/a', 0xC0)], level=5), [PROTOCOL, MALFORMED]),
        ('SUBSCRIBE to an empty filter', subscribe([('', 0)]), subscribe([('', 0)], level=5), [MALFORMED, PROTOCOL, BAD_FILTER]),
        ('SUBSCRIBE to /load/#/x', subscribe([('/load/#/x', 0)]), subscribe([('/load/#/x', 0)], level=5), [BAD_FILTER, MALFORMED]),
        ('SUBSCRIBE to /load+', subscribe([('/load+', 0)]), subscribe([('/load+', 0)], level=5), [BAD_FILTER, MALFORMED]),
        ('SUBSCRIBE to broken UTF-8', subscribe([(b'/load/\xff', 0)]), subscribe([(b'/load/\xff', 0)], level=5), [MALFORMED, BAD_FILTER]),
        ('SUBSCRIBE beyond its end', packet('SUBSCRIBE', b'\x00\x01\x00\x50/a', 2), packet('SUBSCRIBE', b'\x00\x01\x00\x00\x50/a', 2), [MALFORMED]),
        ('UNSUBSCRIBE of nothing', unsubscribe([]), unsubscribe([], level=5), [PROTOCOL, MALFORMED]),
        ('PUBLISH with QoS 3', packet('PUBLISH', string('/load/a') + b'\x00\x01x', 6), packet('PUBLISH', string('/load/a') + b'\x00\x01\x00x', 6), [MALFORMED]),
        ('PUBLISH, DUP with QoS 0', packet('PUBLISH', string('/load/a') + b'x', 8), packet('PUBLISH', string('/load/a') + b'\x00x', 8), [MALFORMED, PROTOCOL]),
        ('PUBLISH with packet id 0', publish('/load/a', b'x', 1, packet_id=0), publish('/load/a', b'x', 1, packet_id=0, level=5), [PROTOCOL, MALFORMED]),
        ('PUBLISH to a +', publish('/load/+', b'x'), publish('/load/+', b'x', level=5), [BAD_TOPIC, MALFORMED]),
        ('PUBLISH to a #', publish('/load/#', b'x', 1), publish('/load/#', b'x', 1, level=5), [BAD_TOPIC, MALFORMED]),
        ('PUBLISH to nothing', publish('', b'x'), publish('', b'x', level=5), [PROTOCOL, BAD_TOPIC, MALFORMED, 0x94]),
        ('PUBLISH to a topic with a NUL', publish('/load/\x00', b'x'), publish('/load/\x00', b'x', level=5), [MALFORMED, BAD_TOPIC]),
        ('PUBLISH to a surrogate', publish('/load/\udfff', b'x'), publish('/load/\udfff', b'x', level=5), [MALFORMED, BAD_TOPIC]),
        ('PUBLISH to an overlong slash', publish(b'/load\xc0\xaf', b'x'), publish(b'/load\xc0\xaf', b'x', level=5), [MALFORMED, BAD_TOPIC]),
        ('PUBLISH to half a character', publish(b'/load/\xe2\x82', b'x'), publish(b'/load/\xe2\x82', b'x', level=5), [MALFORMED, BAD_TOPIC]),
        ('PUBLISH beyond Unicode', publish(b'/load/\xf4\x90\x80\x80', b'x'), publish(b'/load/\xf4\x90\x80\x80', b'x', level=5), [MALFORMED, BAD_TOPIC]),
        ('PUBLISH, a topic longer than the packet', packet('PUBLISH', b'\xff\xff/load'), packet('PUBLISH', b'\xff\xff/load'), [MALFORMED]),
        ('PUBLISH of one byte', packet('PUBLISH', b'\x00'), packet('PUBLISH', b'\x00'), [MALFORMED]),
        ('PUBACK without an id', packet('PUBACK', b'\x01'), packet('PUBACK', b'\x01'), [MALFORMED]),
        ('PUBREL without its flag', packet('PUBREL', b'\x00\x01'), packet('PUBREL', b'\x00\x01'), [MALFORMED]),
        ('DISCONNECT with flags', packet('DISCONNECT', b'', 3), packet('DISCONNECT', b'', 3), [MALFORMED]),
        ('a topic of more levels than allowed', publish('/load' + '/x' * 1000, b'x'), publish('/load' + '/x' * 1000, b'x', level=5), [BAD_TOPIC]),
        ('a filter of more levels than allowed', subscribe([('/load' + '/x' * 1000, 0)]), subscribe([('/load' + '/x' * 1000, 0)], level=5), [BAD_FILTER]),
        ('random bytes', random.Random(1).randbytes(4000), b'\x62' + random.Random(2).randbytes(4000), []),
        ('trailing bytes in SUBSCRIBE', packet('SUBSCRIBE', subscribe([('/a', 0)])[2:] + b'\x00', 2),
         packet('SUBSCRIBE', subscribe([('/a', 0)], level=5)[2:] + b'\x00', 2), [MALFORMED]),
    ]
    five = [
        ('a property twice', publish('/load/a', b'x', props=[('content_type', 'a'), ('content_type', 'b')], level=5), [PROTOCOL, MALFORMED]),
        ('a property that PUBLISH has not', publish('/load/a', b'x', props=[('session_expiry', 1)], level=5), [PROTOCOL, MALFORMED]),
        ('an unknown property', publish('/load/a', b'x', props=[(0x7E, b'')], level=5), [MALFORMED, PROTOCOL]),
        ('properties beyond the packet', packet('PUBLISH', string('/load/a') + b'\x7f\x01\x00'), [MALFORMED]),
        ('a property length of five bytes', packet('PUBLISH', string('/load/a') + b'\xff\xff\xff\xff\x01x'), [MALFORMED]),
        ('topic alias 0', publish('/load/a', b'x', props=[('topic_alias', 0)], level=5), [0x94]),
        ('a topic alias over the maximum', publish('/load/a', b'x', props=[('topic_alias', 60000)], level=5), [0x94]),
        ('an alias that was not set', publish('', b'x', props=[('topic_alias', 1)], level=5), [PROTOCOL, 0x94]),
        ('a response topic with a wildcard', publish('/load/a', b'x', props=[('response_topic', 'a/+')], level=5), [PROTOCOL, MALFORMED, BAD_TOPIC]),
        ('payload format 2', publish('/load/a', b'x', props=[('payload_format', 2)], level=5), [PROTOCOL, MALFORMED]),
        ('a subscription identifier in PUBLISH', publish('/load/a', b'x', props=[('subscription_id', 1)], level=5), [PROTOCOL, MALFORMED]),
        ('subscription identifier 0', subscribe([('/load/a', 0)], props=[('subscription_id', 0)], level=5), [PROTOCOL, MALFORMED]),
        ('retain handling 3', subscribe([('/load/a', 0x30)], level=5), [PROTOCOL, MALFORMED]),
        ('AUTH without a method', packet('AUTH', b'\x18\x00'), [PROTOCOL, MALFORMED]),
        ('DISCONNECT with a longer session expiry', disconnect(0, [('session_expiry', 100)]), [PROTOCOL, MALFORMED]),
        ('more user properties than allowed', publish('/load/a', b'x', props=[('user_property', ('k', 'v'))] * 1000, level=5), [0x97, MALFORMED]),
        ('a user property in broken UTF-8', publish('/load/a', b'x', props=b'\x07\x26\x00\x01k\x00\x01\xff', level=5), [MALFORMED]),
    ]
    for name, four_data, five_data, codes in cases:
        ended('3.1.1: ' + name, 4, None, four_data, [])
        ended('5.0: ' + name, 5, None, five_data, codes)
    for name, data, codes in five:
        ended('5.0: ' + name, 5, None, data, codes)
    client = fleet.client('drone', level=5)
    client.send(ack('PUBACK', 77))
    client.ping()
    ok(True, 'an acknowledgement of what was not sent is no crime')
    client.close()


def mutants():
    """A few thousand packets with a byte changed, cut or doubled; the seed is printed."""
    seed = random.randrange(1 << 32)
    diag('seed %d' % seed)
    dice = random.Random(seed)
    samples = [
        (4, publish('/ddos/a', b'payload', 1)), (5, publish('/ddos/a', b'payload', 1, level=5, props=[
            ('content_type', 'text'), ('user_property', ('a', 'b')), ('message_expiry', 9), ('correlation_data', b'cc'), ('topic_alias', 3)])),
        (4, subscribe([('/load/#', 1), ('/policy/+', 0)])), (5, subscribe([('/load/#', 1), ('/policy/+', 0)], level=5, props=[('subscription_id', 300)])),
        (4, unsubscribe(['/load/#', 'a'])), (5, unsubscribe(['/load/#'], level=5, props=[('user_property', ('a', 'b'))])),
        (5, disconnect(4, [('reason_string', 'bye')])), (4, ack('PUBACK', 1)), (5, ack('PUBACK', 1, 0x10, [('reason_string', 'x')])),
    ]
    clients, answered, closed = {}, 0, 0
    for turn in range(3000):
        level, data = dice.choice(samples)
        data = bytearray(data)
        for _ in range(dice.randrange(1, 4)):
            at = dice.randrange(len(data)) if data else 0
            kind = dice.randrange(5)
            if kind == 0 and data:
                data[at] = dice.randrange(256)
            elif kind == 1 and data:
                data[at] ^= 1 << dice.randrange(8)
            elif kind == 2:
                del data[at:at + dice.randrange(4)]
            elif kind == 3:
                data[at:at] = dice.randbytes(dice.randrange(1, 5))
            else:
                data += data[dice.randrange(len(data) + 1):]
        if level not in clients:
            clients[level] = fleet.client('drone', 'mutant-%d' % turn, level=level)
        client = clients[level]
        client.send(bytes(data))
        if turn % 8:
            continue
        try:
            client.send(pingreq())
            while client._read_new(time.monotonic() + 0.2).type != 'PINGRESP':
                pass
            answered += 1
        except MqttTimeout:
            clients.pop(level).close()  # in the midst of a packet that was never whole
        except MqttClosed:
            closed += 1
            clients.pop(level).close()
    ok(closed > 0, '%d mutants were answered, %d times the connection was closed' % (answered, closed))


for part in (first_packets, packets, mutants):
    diag(part.__doc__)
    part()
    others.untouched(part.__name__)
others.end()
fleet.done()
