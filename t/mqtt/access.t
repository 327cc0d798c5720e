#!/usr/bin/python3
"""The access log of MQTT sessions: connect, disconnect, refused, denied."""

import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
import tap  # noqa: E402
from fleet import Fleet, until  # noqa: E402
from tap import is_, like, ok  # noqa: E402

fleet = Fleet(main='access_log data/access.log json;\n', name='access')
client = fleet.client('drone', 'd-1', level=5)
client.publish('/rl/log', b'x', qos=1)
client.subscribe('/rl/#', check=False)
client.disconnect()
bad = fleet.open('drone', level=4)
bad.connect('kept', clean=False, reason=3)
bad.expect_closed()


def lines():
    """What the log holds so far, by event."""
    found = {}
    for line in fleet.read('data', 'access.log').decode().splitlines():
        entry = json.loads(line)
        found.setdefault(entry['event'], []).append(entry)
    return found


until(lambda: {'connect', 'denied', 'disconnect', 'refused'} <= set(lines()) and len(lines()['denied']) == 2, 'the four events')
log = lines()
entry = log['connect'][0]
is_((entry['identity'], entry['client'], entry['protocol'], entry['version']), ('drone', 'd-1', 'mqtt', 5), 'connect: who')
ok(entry['peer'].startswith('127.0.0.1:') and entry['listener'].endswith(str(fleet.port)), 'connect: from where to where')
publish, subscribe = log['denied']
is_((publish['action'], publish['topic'], publish['realm'], publish['qos']), ('publish', '/rl/log', 'fleet', 1), 'denied: a publication')
is_((subscribe['action'], subscribe['topic']), ('subscribe', '/rl/#'), 'denied: a subscription')
like(publish['where'], r'sallyport\.conf:\d+', 'denied: by which line')
entry = log['disconnect'][0]
ok(entry['received_bytes'] > 20 and entry['sent_bytes'] > 20 and entry['duration_ms'] >= 0, 'disconnect: how much and how long')
is_((log['refused'][0]['client'], log['refused'][0]['version']), ('kept', 4), 'refused: who')
like(log['refused'][0]['reason'], 'persistent session', 'refused: why')
fleet.stop()
tap.done()
