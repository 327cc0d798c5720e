#!/usr/bin/python3
"""kill -9 of a worker under traffic, with 1, 2 and 4 workers: only its own connections end; what was acknowledged reaches everybody
who is still there; the slot is filled again."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from fleet import Fleet, Traffic, kill, until  # noqa: E402
from tap import diag, done, is_, like, ok  # noqa: E402


def fallen(fleet, traffic, victim, name):
    """One worker is killed; returns who is left."""
    before = fleet.whole()
    slot = before['workers'].index(victim)
    losses = {p.name: p.losses for p in traffic.publishers}
    here = [r for r in traffic.receivers if r.lost is None]
    known = None not in traffic.homes.values()
    concerned = set(traffic.on(victim))
    kill(victim)
    up = until(lambda: fleet.pids()['workers'][slot] not in (None, victim) and fleet.whole(), 'a new worker')
    is_(up['master'], before['master'], name + 'the master is the same')
    is_(up['keeper'], before['keeper'], name + 'the keeper is the same')
    is_([a == b for a, b in zip(up['workers'], before['workers'])], [n != slot for n in range(fleet.workers)],
        name + 'one worker is new, the others are not')
    if known:
        until(lambda: all(r.lost for r in here if r.name in concerned), 'the end of its subscribers')
        is_(sorted(r.name for r in here if r.lost), sorted(r.name for r in here if r.name in concerned), name + 'its subscribers were cut, no others')
        until(lambda: all(p.losses > losses[p.name] for p in traffic.publishers if p.name in concerned), 'the end of its publishers')
        is_([p.name for p in traffic.publishers if p.losses > losses[p.name] and p.name not in concerned], [],
            name + 'publishers of other workers were not')
    is_([p.losses - losses[p.name] for p in traffic.publishers if p.losses - losses[p.name] > 1], [], name + 'each was cut once')
    until(lambda: all(p.client is not None and not p.client.closed for p in traffic.publishers), 'publishers are back')
    return [r for r in here if r.lost is None]


def crash(workers):
    """The scene with so many workers."""
    name = '%d workers: ' % workers if workers > 1 else '1 worker: '
    fleet = Fleet(workers=workers, name='crash-worker')
    with fleet.client('controller') as keeper_of_things:
        keeper_of_things.publish('/policy/kept', b'kept', qos=1, retain=True)
    traffic = Traffic(fleet, publishers=2 * workers, subscribers=2 * workers)
    traffic.flows()
    for nth, slot in enumerate([workers - 1, workers - 1, 0] if workers > 1 else [0, 0], 1):
        step = '%skill %d: ' % (name, nth)
        left = fallen(fleet, traffic, fleet.whole()['workers'][slot], step)
        if left:
            traffic.flows(more=20, receivers=left)
            ok(True, step + 'everybody else hears everybody, those who came back, too')
        elif workers > 1:
            diag(step + 'no subscriber was elsewhere')
        for publisher in traffic.publishers:
            traffic.homes[publisher.name] = fleet.worker_of(publisher.client)
        with fleet.client('drone', level=5) as late:
            late.subscribe('/policy/#', qos=1)
            late.receive(topic='/policy/kept', payload=b'kept')
        ok(True, step + 'retained messages are there')
        for client, _ in fleet.spread('controller'):
            client.subscribe('/load/#', qos=1)
            client.wait_for('PUBLISH')
            client.close()
        ok(True, step + 'new subscribers on every worker hear the traffic')
    left = [r for r in traffic.receivers if r.lost is None]
    is_(traffic.finish(), {}, name + 'nothing that was acknowledged is missing at those who stayed (%d)' % len(left))
    is_([r.disorder() for r in left if r.disorder()], [], name + 'and in order')
    is_(sum(r.repeats() for r in left), 0, name + 'and once each')
    diag(name + traffic.describe())
    like(fleet.log(), r'worker.*(signal 9|[Kk]ill)', name + 'the log tells how the worker ended')
    ok(fleet.serves(), name + 'it serves on')
    fleet.stop()


for count in (1, 2, 4):
    crash(count)
done()
