#!/usr/bin/python3
"""Clients that ask and ask and take no answer, or send without end what they may send slowly: they are read more slowly, what they
cost is bounded, and nobody else notices."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from fleet import REALM, Bystanders, Fleet  # noqa: E402
from mqttraw import pingreq, publish, subscribe  # noqa: E402
from tap import diag  # noqa: E402

fleet = Fleet(name='talker', realm=REALM + '''
    topic "/policy/slow" { rate 100/s burst=10 over=delay; }
''')
others = Bystanders(fleet)
QUESTIONS = {
    'publications over their rate': lambda level: publish('/policy/slow', b'x' * 100, 1 if level == 5 else 0, packet_id=7, level=level),
    'publications': lambda level: publish('/rl/log', b'x' * 50, 1, packet_id=7, level=level),
    'pings': lambda level: pingreq(),
    'subscriptions': lambda level: subscribe([('/load/%d' % number, 1) for number in range(50)], 9, None, level),
    'looks at retained messages': lambda level: subscribe([('/policy/#', 1)], 9, None, level),
}
with fleet.client('controller') as keeper_of_things:
    for number in range(20):
        keeper_of_things.publish('/policy/%d' % number, b'r' * 10000, qos=1, retain=True)
for name, make in QUESTIONS.items():
    for level in (4, 5):
        talker = fleet.client('controller', level=level, rcvbuf=4096)
        data = make(level) * 2000
        talker.sock.settimeout(2)
        sent, over = 0, 'all taken'
        try:
            while sent < 12 << 20:
                talker.sock.sendall(data)
                sent += len(data)
        except (TimeoutError, OSError) as error:
            over = type(error).__name__
        diag('%s, level %d: %.1f MB were sent, then: %s' % (name, level, sent / 1e6, over))
        others.untouched('%s without end, level %d' % (name, level), grown_bytes=80 << 20)
        talker.close()
others.end()
fleet.done()
