#!/usr/bin/python3
"""CONNECT and CONNACK: both versions, what is accepted, what is refused and with which code."""

import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
import mqttraw  # noqa: E402
from fleet import Fleet, until  # noqa: E402
from mqttraw import connect, packet, publish, subscribe  # noqa: E402
from tap import diag, is_, ok  # noqa: E402

MQTT = '    max_keepalive 100s;\n    max_inflight 20;\n    topic_alias_maximum 5;\n    max_packet 100k;\n    max_connect_packet 4k;\n    connect_timeout 2s;\n'


def accepted(fleet):
    """What a fine CONNECT gets."""
    for level in (4, 5):
        client = fleet.client('drone', 'plain-%d' % level, level=level)
        is_((client.connack.reason, client.connack.session_present), (0, False), 'level %d: accepted' % level)
        client.ping()
        client.disconnect()
    five = fleet.client('drone', 'five', level=5, props=[('session_expiry', 100), ('receive_maximum', 7)])
    ack = five.connack
    is_(ack.prop('session_expiry'), 0, 'MQTT 5: a session expiry is answered with 0')
    is_(ack.prop('receive_maximum'), 20, 'receive maximum: max_inflight')
    is_(ack.prop('maximum_qos'), 1, 'maximum QoS 1')
    is_(ack.prop('maximum_packet_size'), 102400, 'maximum packet size: max_packet')
    is_(ack.prop('topic_alias_maximum'), 5, 'topic alias maximum')
    is_(ack.prop('shared_available'), 0, 'no shared subscriptions')
    is_(ack.prop('server_keep_alive'), None, 'a keep alive below the limit stays')
    is_(fleet.client('drone', 'k', level=5, keepalive=200).connack.prop('server_keep_alive'), 100, 'a longer one is cut')
    is_(fleet.client('drone', 'k0', level=5, keepalive=0).connack.prop('server_keep_alive'), 100, 'none is cut, too')


def client_ids(fleet):
    """Client identifiers."""
    one, two = fleet.client('drone', '', level=5), fleet.client('drone', '', level=5)
    ids = [c.connack.prop('assigned_client_id') for c in (one, two)]
    ok(ids[0] and ids[1] and ids[0] != ids[1], 'MQTT 5: an empty client id gets one assigned') or diag(ids)
    one.ping()
    four = fleet.client('drone', '', level=4)
    four.ping()
    ok(True, 'MQTT 3.1.1: an empty client id with a clean session')
    bad = fleet.open('drone', level=4)
    bad.connect('', clean=False, reason=2)
    bad.expect_closed()
    ok(True, 'MQTT 3.1.1: an empty client id with a kept session: return code 2')
    odd = fleet.client('drone', 'x' * 2000 + '/\u00e9\u4e2d', level=5)
    odd.ping()
    ok(True, 'a long client id with odd characters')


def kept_sessions(fleet):
    """Persistent sessions are not kept."""
    client = fleet.open('drone', level=4)
    client.connect('kept', clean=False, reason=3)
    client.expect_closed()
    ok(True, 'MQTT 3.1.1: clean session 0 is refused with return code 3')
    ok(until(lambda: re.search(r'id=kept .*persistent session', fleet.log()), 'the log says why'), 'and the log says why')
    fleet.edit('connect_timeout 2s;', 'connect_timeout 2s; persistent_sessions clean;')
    fleet.reload()
    is_(fleet.client('drone', 'kept', clean=False).connack.session_present, False, 'persistent_sessions clean: served without')
    five = fleet.client('drone', 'kept5', level=5, clean=False)
    is_((five.connack.reason, five.connack.session_present), (0, False), 'MQTT 5: clean start 0 finds no session')


def refused(fleet):
    """Bad CONNECTs."""
    def answer(level, data, name, code, **fields):
        client = fleet.open('drone', level=level)
        client.send(data)
        last = client.expect_closed()
        is_(last.reason if last is not None else None, code, name)
        client.close()
        return last
    answer(4, connect('a', level=4, level_byte=6), 'version 6: 3.1.1 code 1', 1)
    answer(4, connect('a', level=3), 'MQTT 3.1: code 1', 1)
    answer(4, connect('a', level=4, name='MQTX'), 'wrong protocol name: code 1', 1)
    answer(4, connect('a', level=4, flags=0x03), '3.1.1, reserved flag: closed', None)
    answer(5, connect('a', level=5, flags=0x03), '5.0, reserved flag: 0x81', 0x81)
    answer(5, connect('a', level=5, props=[('auth_method', 'SCRAM')]), 'an authentication method: 0x8C', 0x8C)
    answer(5, connect('a', level=5, props=[('receive_maximum', 0)]), 'receive maximum 0: 0x82', 0x82)
    answer(5, connect('a', level=5, props=[('topic_alias', 1)]), 'a property that does not belong there: 0x81', 0x81)
    answer(5, connect('a', level=5, will={'topic': '/will/a', 'qos': 2}), 'a will with QoS 2: 0x9B', 0x9B)
    answer(5, connect('a', level=5, will={'topic': '/will/#'}), 'a will with a wildcard: 0x90', 0x90)
    answer(4, connect('a\x00b', level=4), '3.1.1, NUL in the client id: closed', None)
    answer(5, connect(b'\xff\xfe', level=5), '5.0, a client id that is not UTF-8: 0x81', 0x81)
    answer(4, connect('a', keepalive=200), '3.1.1, a keep alive above the limit: code 2', 2)
    answer(4, publish('/load/a', b'x'), 'PUBLISH first: closed in silence', None)
    answer(4, packet('PINGREQ'), 'PINGREQ first: closed in silence', None)
    answer(4, b'GET / HTTP/1.1\r\n\r\n', 'HTTP: closed', None)
    twice = fleet.client('drone', 'twice', level=5)
    twice.send(connect('twice', level=5))
    twice.expect_closed(0x82)
    ok(True, 'a second CONNECT: 0x82')
    big = fleet.open('drone', level=5)
    big.send(packet('CONNECT', b'', length=5000)[:5])
    big.expect_closed()
    ok(True, 'a CONNECT above max_connect_packet is refused from its header')
    slow = fleet.open('drone', level=4)
    slow.send(connect('slow')[:7])
    slow.expect_closed()
    ok(True, 'half a CONNECT: closed after connect_timeout')


def early(fleet):
    """Packets may come before CONNACK was sent (MQTT 5 3.1.4)."""
    client = fleet.open('drone', level=5)
    client.send(connect('early', level=5), subscribe([('/load/early', 1)], 3, None, 5), publish('/load/early', b'x', 1, packet_id=9, level=5))
    client.expect('CONNACK', reason=0)
    client.wait_for('SUBACK', packet_id=3)
    client.wait_for('PUBACK', packet_id=9)
    client.wait_for('PUBLISH', topic='/load/early', payload=b'x')
    ok(True, 'SUBSCRIBE and PUBLISH behind CONNECT are served')
    dribble = fleet.open('drone', level=4)
    for byte in connect('dribble'):
        dribble.send(bytes([byte]))
    dribble.expect('CONNACK', reason=0)
    ok(True, 'a CONNECT byte by byte')
    gone = fleet.client('drone', 'gone', level=5)
    gone.send(mqttraw.disconnect(0, [('session_expiry', 5)]))
    gone.expect_closed(0x82)
    ok(True, 'DISCONNECT with a session expiry after CONNECT without: 0x82')


fleet = Fleet(mqtt=MQTT, name='connect')
for part in (accepted, client_ids, kept_sessions, refused, early):
    diag(part.__doc__)
    part(fleet)
fleet.done()
