#!/usr/bin/python3
"""Policy values for publications: max_qos, min_qos, retain, max_payload, values, rate; the codes, the reasons, publish_denied."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
import tap  # noqa: E402
from fleet import Fleet  # noqa: E402
from mqttraw import publish  # noqa: E402
from tap import diag, is_, like, ok  # noqa: E402

POLICY = '''
    max_qos 1;
    retain on;
    max_payload 1000;
    unknown_realm deny;
'''
REALM = '''
    topics "/load/#" "/other/#";
    allow drone publish "/load/#";
    allow gcs subscribe "/load/#";
    topic "/load/max/#"    { max_qos 0; }
    topic "/load/min/#"    { min_qos 1; }
    topic "/load/bare/#"   { retain off; }
    topic "/load/small/#"  { max_payload 5; }
    topic "/load/values/#" { values "/load/values/+" on off "a b"; values "/load/values/x" on; }
    topic "/load/delay/#"  { rate 20/s burst=5 over=delay; }
    topic "/load/drop/#"   { rate 1/h burst=5 over=drop; }
    topic "/load/cut/#"    { rate 1/h burst=5 over=disconnect; }
'''


def reason(found):
    return found.prop('reason_string') or ''


def values(fleet, name):
    """What each value refuses, and how."""
    sub, pub = fleet.client('gcs', level=5), fleet.client('drone', level=5)
    is_(sub.subscribe('/load/#', qos=1), [1], name + 'a wildcard is granted QoS 1')
    other = fleet.client('gcs', level=5)
    is_(other.subscribe('/load/max/a', '/load/min/a', qos=1), [0, 1], name + 'a subscription is granted max_qos')
    other.close()
    pub.publish('/load/max/a', b'x', qos=1)
    is_(sub.receive(topic='/load/max/a').qos, 0, name + 'max_qos lowers the delivery')
    pub.publish('/load/min/a', b'low', qos=0)
    pub.publish('/load/min/a', b'high', qos=1)
    is_(sub.receive(topic='/load/min/a').payload, b'high', name + 'min_qos: QoS 0 is dropped, QoS 1 passes')
    cases = [('/load/bare/a', b'x', True, 0x87, 'retain off'), ('/load/small/a', b'123456', False, 0x97, 'max_payload 5'),
             ('/load/a', b'x' * 1001, False, 0x97, 'max_payload 1000'), ('/load/values/y', b'other', False, 0x99, 'values "/load/values/+"'),
             ('/load/values/x', b'off', False, 0x99, 'values "/load/values/+"'), ('/other/a', b'x', False, 0x87, None)]
    for topic, payload, retain, code, where in cases:
        answer = pub.publish(topic, payload, qos=1, retain=retain)
        is_(answer.reason, code, name + '%s %r refused with 0x%02x' % (topic, payload[:10], code))
        like(reason(answer), fleet.where(where) if where else r'sallyport\.conf:\d+', name + 'naming the line')
    for topic, payload in (('/load/bare/a', b'x'), ('/load/small/a', b'12345'), ('/load/values/y', b'a b'), ('/load/values/x', b'on')):
        is_(pub.publish(topic, payload, qos=1).reason, 0, name + '%s %r passes' % (topic, payload))
        sub.receive(topic=topic, payload=payload)
    sub.expect_nothing()
    four = fleet.client('drone', level=4)
    for topic, payload, retain, _, _ in cases:
        four.publish(topic, payload, qos=1, retain=retain)
        four.publish(topic, payload, qos=0, retain=retain)
    four.ping()
    sub.expect_nothing()
    ok(True, name + 'MQTT 3.1.1: acknowledged and dropped')


def rates(fleet, name):
    """Over the rate."""
    sub, pub = fleet.client('gcs', level=5), fleet.client('drone', level=5)
    sub.subscribe('/load/#', qos=1)
    for number in range(15):
        pub.send(publish('/load/delay/a', b'%d' % number, number % 2, packet_id=number + 1, level=5))
    got = [int(sub.receive(topic='/load/delay/a').payload) for _ in range(15)]
    is_(got, list(range(15)), name + 'delay: all come, in order')
    ok(fleet.status()['metrics']['sallyport_mqtt_rate_limited_total'] > 0, name + 'but later')
    for _ in range(7):
        pub.expect('PUBACK')
    pub.publish('/load/free', b'x', qos=1)
    sub.receive(topic='/load/free')
    for number in range(10):
        pub.publish('/load/drop/a', b'%d' % number, qos=0)
    pub.ping()
    got = [int(sub.receive(topic='/load/drop/a').payload) for _ in range(5)]
    is_(got, list(range(5)), name + 'drop: the burst comes')
    sub.expect_nothing()
    ok(True, name + 'drop: and nothing more')
    for number in range(6):
        pub.publish('/load/cut/a', b'x', qos=1, wait=False)
    for _ in range(5):
        pub.expect('PUBACK')
    last = pub.expect_closed(0x96)
    like(reason(last), fleet.where('over=disconnect'), name + 'disconnect: 0x96, naming the line')
    other = fleet.client('drone', level=4)
    other.publish('/load/cut/a', b'x', qos=1)
    ok(True, name + 'a bucket belongs to one session')


def closing(fleet, name):
    """publish_denied close."""
    fleet.edit('sys_interval 5s;', 'sys_interval 5s; publish_denied close;')
    fleet.reload()
    for level, topic, qos, payload, retain, code in ((5, '/other/a', 0, b'x', False, 0x87), (5, '/load/min/a', 0, b'x', False, 0x9B),
                                                     (5, '/load/bare/a', 0, b'x', True, 0x9A), (4, '/other/a', 1, b'x', False, None),
                                                     (4, '/load/small/a', 0, b'123456', False, None)):
        client = fleet.client('drone', level=level)
        client.publish(topic, payload, qos=qos, retain=retain, wait=False)
        last = client.expect_closed(code)
        ok(code is None or 'sallyport.conf:' in reason(last), name + 'level %d, %s: closed, with 0x%02x' % (level, topic, code or 0))


for workers in (1, 2):
    name = '%d workers: ' % workers
    fleet = Fleet(workers=workers, policy=POLICY, realm=REALM, mqtt='    sys_interval 5s;\n', name='policy')
    for part in (values, rates, closing):
        diag(part.__doc__)
        part(fleet, name)
    like(fleet.log(), r'realm=fleet client=drone topic=/other/a publish denied by \S+sallyport.conf:\d+', name + 'the log names identity, topic and line')
    fleet.stop()
tap.done()
