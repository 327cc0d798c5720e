#!/usr/bin/python3
"""kill -9 of the master under traffic, with 1, 2 and 4 workers: no process is left behind, a new start works at once, on the same
address and the same data, and what was acknowledged as retained is there."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from fleet import WAIT_S, Fleet, Traffic, alive, until  # noqa: E402
from tap import done, is_, like, ok  # noqa: E402


def crash(workers):
    """The scene with so many workers."""
    name = '%d workers: ' % workers if workers > 1 else '1 worker: '
    fleet = Fleet(workers=workers, name='crash-master')
    traffic = Traffic(fleet, publishers=3, subscribers=3, reconnect=False)
    traffic.flows()
    with fleet.client('controller') as client:
        for number in range(1, 21):
            client.publish('/policy/n', b'%d' % number, qos=1, retain=True)
    pids = fleet.all_pids()
    os.kill(pids[0], 9)
    log = fleet.start_again()
    ok(True, name + 'a new start works at once')
    until(lambda: not any(alive(pid) for pid in pids), 'the end of all processes')
    ok(True, name + 'of the old processes none is left')
    for thread in traffic.publishers + traffic.receivers:
        thread.stop()
    until(lambda: all(r.lost for r in traffic.receivers), 'the end of the connections')
    ok(True, name + 'the old connections were closed')
    with fleet.client('drone', level=5) as late:
        late.subscribe('/policy/#', qos=1)
        late.receive(topic='/policy/n', payload=b'20')
    ok(True, name + 'the retained message is there, the last one that was acknowledged')
    again = Traffic(fleet, publishers=2, subscribers=2, name='again')
    again.flows()
    is_(again.finish(), {}, name + 'traffic flows as before')
    ok(not set(pids) & set(fleet.all_pids()), name + 'through new processes')
    is_(fleet.command('-s', 'reload').returncode, 0, name + 'which can be told to reload')
    for thread in traffic.publishers + traffic.receivers:
        thread.join(WAIT_S)
        thread.client.close()
    fleet.stop()
    like(log, r'master', name + 'the log tells why the processes ended')


for count in (1, 2, 4):
    crash(count)
done()
