#!/usr/bin/python3
"""More than one death at a time, under traffic: worker and keeper together, all workers, a worker in the middle of reloads, one slot
over and over. Whoever is left serves on, and in the end everything is as it was."""

import os
import signal
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from fleet import WAIT_S, Fleet, Late, Traffic, alive, kill, until  # noqa: E402
from tap import diag, is_, ok  # noqa: E402

WORKERS = 3


def died(fleet, pids):
    """kill -9 of several at once; returns the processes when all are up again."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in pids), 'their end')
    return until(lambda: (lambda up: up if not set(pids) & {up['keeper'], *up['workers']} else None)(fleet.whole()), 'successors')


def flows_again(fleet, traffic, name):
    """Publishers are back; subscribers that were cut are replaced; everybody hears everybody."""
    lost = [r for r in traffic.receivers if r.lost]
    more = Traffic(fleet, publishers=1, subscribers=max(1, len(lost)), name='more-' + name.split(':')[0].replace(' ', '-'))
    left = [r for r in traffic.receivers if not r.lost]
    try:
        traffic.flows(more=10, receivers=left + more.receivers, publishers=traffic.publishers + more.publishers)
        ok(True, name + 'everybody hears everybody')
    except Late as error:
        ok(False, name + 'everybody hears everybody')
        diag(error)
        diag('\n'.join(fleet.log().splitlines()[-40:]))
        diag(fleet.status())
    is_(more.finish(), {}, name + 'nothing is missing at the new ones')


fleet = Fleet(workers=WORKERS, name='several')
with fleet.client('controller') as client:
    client.publish('/policy/kept', b'kept', qos=1, retain=True)
traffic = Traffic(fleet, publishers=WORKERS, subscribers=2 * WORKERS)
traffic.flows()

# a worker and the keeper
before = fleet.whole()
victim = before['workers'][0]
died(fleet, [victim, before['keeper']])
is_([r.name for r in traffic.receivers if r.lost and r.name not in traffic.on(victim)], [], 'worker and keeper: subscribers of other workers stay')
flows_again(fleet, traffic, 'worker and keeper: ')
with fleet.client('drone', level=5) as late:
    late.subscribe('/policy/#', qos=1)
    late.receive(topic='/policy/kept', payload=b'kept')
ok(True, 'worker and keeper: retained messages are there')

# a worker dies while the configuration changes, again and again
stop = threading.Event()
verdicts = []


def reloads():
    """Reloads one after the other, whatever comes of them."""
    while not stop.is_set():
        verdicts.append(fleet.command('-s', 'reload'))


thread = threading.Thread(target=reloads, daemon=True)
thread.start()
for turn in range(4):
    until(lambda: len(verdicts) > 2 * turn, 'reloads')
    slot = 1 + turn % 2
    kill(fleet.whole()['workers'][slot])
    fleet.whole()
stop.set()
thread.join(WAIT_S * 2)
codes = [verdict.returncode for verdict in verdicts]
diag('verdicts of %d reloads: %r' % (len(codes), codes))
is_([code for code in codes if code not in (0, 4)], [], 'a worker dies in the middle of reloads: each has a verdict, 0 or 4')
for verdict in verdicts:
    if verdict.returncode:
        diag(verdict.stdout + verdict.stderr)
is_(fleet.command('-s', 'reload').returncode, 0, 'and the next one succeeds')
until(lambda: len({p['generation'] for p in fleet.status()['processes']}) == 1, 'one generation in all processes')
ok(True, 'all processes have the same generation')
flows_again(fleet, traffic, 'reloads: ')

# all workers
before = fleet.whole()
died(fleet, before['workers'])
until(lambda: all(r.lost for r in traffic.receivers), 'the end of all subscribers')
flows_again(fleet, traffic, 'all workers: ')
is_(fleet.whole()['keeper'], before['keeper'], 'all workers: the keeper is the same')
for client, _ in fleet.spread('drone', level=5):
    client.subscribe('/policy/#', qos=1)
    client.receive(topic='/policy/kept', payload=b'kept')
ok(True, 'all workers: retained messages are there')

# everything but the master
before = fleet.whole()
died(fleet, [before['keeper'], *before['workers']])
flows_again(fleet, traffic, 'everything but the master: ')

is_(traffic.finish(), {}, 'nothing that was acknowledged is missing at those who stayed')
diag(traffic.describe())
ok(fleet.serves(), 'it serves on')
is_(fleet.whole()['master'], before['master'], 'under the same master')
fleet.done()
