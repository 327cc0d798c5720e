#!/usr/bin/python3
"""Who dies is started again; when the master dies, all go, and the next start works at once."""

import os
import signal
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from gateway import FLEET, Gateway, gone, wait_until  # noqa: E402
from tap import done, is_, isnt, ok  # noqa: E402

with Gateway(FLEET) as g:
    before = g.processes()
    g.mark()
    os.kill(before['worker0']['pid'], signal.SIGKILL)
    ok(g.wait_log(r'worker0, pid %d, was killed by signal 9' % before['worker0']['pid']), 'a killed worker is noticed')
    ok(g.wait_log(r'worker0 is up, pid \d+, generation 1'), '... and started again')
    after = g.processes()
    is_(after['worker0']['epoch'], 2, 'in the same slot, epoch 2')
    is_(after['worker0']['respawns'], 1, 'counted')
    isnt(after['worker0']['pid'], before['worker0']['pid'], 'as a new process')
    is_({n: p['pid'] for n, p in after.items() if n != 'worker0'}, {n: p['pid'] for n, p in before.items() if n != 'worker0'},
        'the others were left alone')
    wait_until(lambda: g.processes()['worker0']['state'] == 'accepting', 'worker0 accepts again')
    ok(True, 'it accepts again')

    os.kill(before['keeper']['pid'], signal.SIGKILL)
    ok(g.wait_log(r'keeper is up'), 'a killed keeper is started again')
    is_(g.processes()['keeper']['epoch'], 2, 'with epoch 2')
    wait_until(lambda: all(p['state'] in ('accepting', 'serving') for p in g.processes().values()), 'everyone serves')

    # a reload in between: who dies afterwards comes back with the new generation
    g.edit('max_qos 1', 'max_qos 0')
    g.reload()
    os.kill(g.processes()['worker0']['pid'], signal.SIGABRT)
    ok(g.wait_log(r'worker0 is up, pid \d+, generation 2'), 'a worker that crashes after a reload has the new generation')

    # one that dies again and again is not started in a mad rush
    for _ in range(4):
        os.kill(g.processes()['worker0']['pid'], signal.SIGKILL)
        ok(g.wait_log(r'worker0 is up'), 'killed again, up again')

    # a worker that is told to end by somebody else is missed too
    os.kill(g.worker_pids()[-1], signal.SIGTERM)
    ok(g.wait_log(r'worker%d is up' % (g.workers - 1)), 'a worker that was sent SIGTERM is started again')
    wait_until(lambda: all(p['state'] in ('accepting', 'serving') for p in g.processes().values()), 'everyone serves')
    with socket.create_connection(('127.0.0.1', g.port), timeout=10):
        ok(True, 'the listener takes connections')

with Gateway(FLEET, name='orphans') as g:
    for turn in (1, 2):
        pids = g.all_pids()
        g.kill_master()
        ok(g.wait_end(), 'kill -9 of the master: no process is left')
        wait_until(lambda: all(gone(p) for p in pids), 'every one of them is gone')
        ok(True, 'really')
        ok(os.path.exists(g.path('data/sallyport.pid')) and os.path.exists(g.path('data/control.sock')), 'stale files are left')
        g.start()
        ok(True, 'the next start works at once')
        is_(g.master_pid(), g.process.pid, 'with its own pid file')
        is_(g.status()['state'], 'running', 'and control socket')

# a keeper that cannot work is no reason to try for ever
with Gateway(FLEET, start=False, name='no store') as g:
    g.tolerate(r'\[emerg\]')
    os.mkdir(g.path('data'))
    os.mkdir(g.path('data/sallyport.db'))
    g.start(expect_ready=False)
    ok(g.wait_end(), 'a keeper without a store: the start is given up')
    is_(g.process.returncode, 1, '... with exit code 1')

done()
