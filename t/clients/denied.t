#!/usr/bin/python3
"""What a refusal looks like: codes, reason strings that name the rule's file:line, the log line, and that both can be had or not."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from fleet import Fleet, until  # noqa: E402
from mqttraw import subscribe  # noqa: E402
from tap import diag, is_, like, ok, unlike  # noqa: E402

POLICY = '''
    max_qos      1;
    retain       off;
    max_payload  200;
    unknown_realm deny;
    allow operator subscribe "$SYS/#";
'''

REALM = '''
    topics "/health/#" "/algo/#" "/policy/#" "/load/#" "/rl/#";
    allow drone publish "/health/%i" "/algo/ack" "/load/#" "/policy/#";
    allow controller subscribe "/health/#" "/algo/#" "/load/#" "/policy/#";
    allow controller publish "/rl/log";
    deny  drone publish "/load/secret/#";
    topic "/health/#" { max_qos 0; }
    topic "/algo/#"   { min_qos 1; }
    topic "/load/small/#" { max_payload 10; }
    topic "/policy/#" { retain on; values "/policy/limit" off 2k 1k; }
'''


def reason(found):
    """The reason string of a packet, '' when there is none."""
    return found.prop('reason_string') or ''


def publications(fleet):
    """Refused publications of an MQTT 5 client."""
    drone = fleet.client('drone', level=5)
    watch = fleet.client('controller', level=5)
    watch.subscribe('/health/#', '/algo/#', '/load/#', '/policy/#', qos=1)
    cases = [
        ('an allow rule for others only', '/rl/log', b'x', {}, 0x87, None),
        ('a deny rule', '/load/secret/a', b'x', {}, 0x87, fleet.where('deny  drone')),
        ('no realm', '/elsewhere', b'x', {}, 0x87, None),
        ('another\'s name in place of %i', '/health/gcs', b'x', {}, 0x87, None),
        ('$SYS', '$SYS/broker/version', b'x', {}, 0x87, None),
        ('retain off', '/load/a', b'x', {'retain': True}, 0x87, fleet.where('retain       off')),
        ('a payload over the limit of the topic', '/load/small/a', b'12345678901', {}, None, fleet.where('max_payload 10')),
        ('a payload over the global limit', '/load/a', b'x' * 201, {}, None, fleet.where('max_payload  200')),
        ('a value that is not in the list', '/policy/limit', b'3k', {}, 0x99, fleet.where('values "/policy/limit"')),
    ]
    for name, topic, payload, options, code, where in cases:
        done = drone.publish(topic, payload, qos=1, **options)
        if code is None:
            ok(done.reason >= 0x80, name + ': refused') or diag(done)
            diag('%s: 0x%02x' % (name, done.reason))
        else:
            is_('0x%02x' % done.reason, '0x%02x' % code, name + ': the code') or diag(done)
        like(reason(done), where or r'sallyport\.conf:\d+|no realm|own topics', name + ': the reason names the rule') or diag(done)
    is_(drone.publish('/policy/limit', b'2k', qos=1, retain=True).reason, 0, 'a value in the list, retained where that is on')
    is_(drone.publish('/algo/ack', b'x', qos=1).reason, 0, 'QoS 1 where it is demanded')
    is_(drone.publish('/load/small/a', b'1234567890', qos=1).reason, 0, 'a payload of just the size')
    got = [(p.topic, p.payload) for p in (watch.receive(), watch.receive(), watch.receive())]
    is_(got, [('/policy/limit', b'2k'), ('/algo/ack', b'x'), ('/load/small/a', b'1234567890')], 'only the allowed ones are delivered')
    watch.expect_nothing()

    drone.publish('/health/drone', b'x', qos=1)
    is_(watch.receive(topic='/health/drone').qos, 0, 'max_qos 0: delivered with QoS 0')
    drone.publish('/algo/ack', b'x', qos=0)
    watch.expect_nothing()
    drone.close()

    silent = fleet.client('drone', level=5, props=[('request_problem_info', 0)])
    done = silent.publish('/rl/log', b'x', qos=1)
    is_((done.reason, done.props), (0x87, []), 'a client that wants no problem information gets a code only')
    silent.close()
    watch.close()


def qos_2(fleet):
    """QoS 2 is not served yet, and says so."""
    client = fleet.client('drone', level=5)
    is_(client.connack.prop('maximum_qos'), 1, 'CONNACK: maximum QoS 1')
    client.publish('/load/a', b'x', qos=2, wait=False)
    client.expect_closed(0x9B)
    ok(True, 'MQTT 5: a QoS 2 publication ends the connection, 0x9B')
    old = fleet.client('drone', level=4)
    old.publish('/load/a', b'x', qos=2, wait=False)
    old.expect_closed()
    ok(True, 'MQTT 3.1.1: it ends the connection')
    for level in (4, 5):
        is_(fleet.client('controller', level=level).subscribe('/load/#', qos=2), [1], 'a QoS 2 subscription is granted QoS 1, level %d' % level)


def subscriptions(fleet):
    """Refused subscriptions."""
    for level, code in ((4, 0x80), (5, 0x87)):
        client = fleet.client('drone', level=level)
        number = client.next_id()
        client.send(subscribe([('/rl/#', 1), ('/health/#', 0)], number, None, level))
        found = client.wait_for('SUBACK', packet_id=number)
        is_(found.reasons, [code, code], 'level %d: SUBACK' % level)
        if level == 5:
            like(reason(found), r'sallyport\.conf:\d+', 'with a reason that names a line') or diag(found)
        client.ping()
        ok(True, 'level %d: the connection stays' % level)
    client = fleet.client('controller', level=5)
    client.send(subscribe([('$share/g/load/#', 1)], 9, None, 5))
    is_(client.wait_for('SUBACK').reasons, [0x9E], 'shared subscriptions: not supported')


def version_311(fleet):
    """MQTT 3.1.1 has no codes for it: acknowledged and dropped, or the connection closed, as publish_denied says."""
    drone = fleet.client('drone')
    watch = fleet.client('controller')
    watch.subscribe('/load/#', qos=1)
    is_(drone.publish('/load/secret/a', b'x', qos=1).type, 'PUBACK', 'publish_denied drop: acknowledged')
    drone.publish('/load/secret/a', b'x', qos=0)
    drone.publish('/load/a', b'x', qos=1)
    watch.receive(topic='/load/a')
    ok(True, 'and dropped; the connection stays')
    fleet.edit('sys_interval 1s;', 'sys_interval 1s; publish_denied close;')
    fleet.reload()
    drone.publish('/load/a', b'y', qos=1)
    watch.receive(topic='/load/a', payload=b'y')
    drone.publish('/load/secret/a', b'x', qos=1, wait=False)
    drone.expect_closed()
    ok(True, 'publish_denied close, after a reload: the connection is closed')
    other = fleet.client('drone')
    other.publish('/load/secret/a', b'x', qos=0)
    other.expect_closed()
    ok(True, 'with QoS 0, too')
    five = fleet.client('drone', level=5)
    is_(five.publish('/load/secret/a', b'x', qos=1).reason, 0x87, 'MQTT 5 has an answer: the connection stays')
    five.publish('/load/secret/a', b'x', qos=0)
    five.expect_closed(0x87)
    watch.expect_nothing()
    ok(True, 'nothing was delivered')


def logged(fleet):
    """The log, and what it must not hold."""
    lines = [line for line in fleet.log().splitlines() if 'denied' in line]
    like('\n'.join(lines), r'realm=fleet client=drone\S* topic=/load/secret/a publish denied by \S*' + fleet.where('deny  drone'),
         'a line names identity, topic and rule') or diag('\n'.join(lines[:5]))
    client = fleet.client('drone', level=5)
    done = client.publish('/load/secret/\u202e\x7fx" y=z', b'x', qos=1)
    is_(done.reason, 0x87, 'a topic with odd characters')
    until(lambda: [line for line in fleet.log().splitlines() if 'load/secret/' in line and 'y=z' in line], 'its line in the log')
    unlike(fleet.log(), '\u202e|\x7f|\x1b', 'what a peer says is escaped in the log')


fleet = Fleet(policy=POLICY, realm=REALM, mqtt='    sys_interval 1s;\n', name='denied')
for part in (publications, qos_2, subscriptions, version_311, logged):
    diag(part.__doc__)
    part(fleet)
fleet.done()
