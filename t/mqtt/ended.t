#!/usr/bin/python3
"""A publisher that says everything at once, DISCONNECT and the end of TLS included, and is then held up by its rate: all of it counts."""

import os
import socket
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
import tap  # noqa: E402
from fleet import Fleet  # noqa: E402
from mqttraw import connect, disconnect, publish  # noqa: E402
from tap import is_  # noqa: E402

POLICY = '\n    max_qos 1; retain on; max_payload 64k; unknown_realm deny; rate 20/s burst=4 over=delay;\n'

fleet = Fleet(workers=2, policy=POLICY, name='ended')
sub = fleet.client('controller', level=5)
sub.subscribe('/load/#', '/will/#', qos=1)


def burst(qos, with_disconnect, kind):
    client = fleet.open('drone', level=5)
    will = dict(topic='/will/drone', payload=b'will')
    packets = [connect('burst-%d-%s' % (qos, kind), level=5, will=will)]
    packets += [publish('/load/x', b'%d' % n, qos, packet_id=n + 1, level=5) for n in range(12)]
    if with_disconnect:
        packets.append(disconnect(0))
    client.send(b''.join(packets))
    client.sock.shutdown(socket.SHUT_WR)
    got = [int(sub.receive(topic='/load/x').payload) for _ in range(12)]
    is_(got, list(range(12)), 'QoS %d, %s: all twelve, in order' % (qos, kind))
    while client.sock.recv(4096):
        pass
    client.close()


for qos in (0, 1):
    burst(qos, True, 'with DISCONNECT')
    sub.ping()
    is_([p.topic for p in sub.inbox if p.topic == '/will/drone'], [], 'QoS %d: no will after a DISCONNECT' % qos)
    burst(qos, False, 'without')
    is_(sub.receive(topic='/will/drone').payload, b'will', 'QoS %d: the will of one that just ended, after what it said' % qos)

for mosquitto_qos in ('0', '1'):
    pub = fleet.mosquitto('mosquitto_pub', 'drone', '-l', '-q', mosquitto_qos, '-t', '/load/x', '--will-topic', '/will/drone',
                          '--will-payload', 'will')
    done = subprocess.run(pub, input=b''.join(b'%d\n' % n for n in range(8)), timeout=60)
    is_(done.returncode, 0, 'mosquitto_pub -l -q %s ends well' % mosquitto_qos)
    is_([int(sub.receive(topic='/load/x').payload) for _ in range(8)], list(range(8)), 'all eight lines')
    sub.ping()
    is_([p.topic for p in sub.inbox], [], 'and no will')
fleet.done()
