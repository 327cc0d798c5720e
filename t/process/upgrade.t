#!/usr/bin/python3
"""SIGUSR2 and -s upgrade: a new master on the same sockets. Not one connection is refused, whatever becomes of the new one."""

import os
import shutil
import signal
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from gateway import BINARY, FLEET, Gateway, gone, wait_until  # noqa: E402
from tap import diag, done, is_, isnt, like, ok  # noqa: E402


class Knocker(threading.Thread):
    """Connects again and again; counts."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.good, self.failures, self.over = port, 0, [], threading.Event()
        self.start()

    def run(self):
        while not self.over.is_set():
            try:
                socket.create_connection(('127.0.0.1', self.port), timeout=20).close()
                self.good += 1
            except OSError as error:
                self.failures.append(repr(error))

    def finish(self, name):
        before = self.good
        wait_until(lambda: self.good > before + 20, 'connections go on')
        self.over.set()
        self.join(30)
        is_(self.failures, [], '%s: of %d connections none was refused' % (name, self.good))


with Gateway(FLEET, start=False) as g:
    # a copy, which can be replaced
    g.binary = g.path('sallyport')
    shutil.copy(BINARY, g.binary)
    g.start()
    for how in ('order', 'signal'):
        knocker = Knocker(g.port)
        old = g.master_pid()
        pids = g.all_pids()
        generation = g.status()['generation']
        g.mark()
        if how == 'order':
            r = g.run('-s', 'upgrade', timeout=120)
            if not is_(r.returncode, 0, '-s upgrade'):
                diag(r.stderr + g.log())
            like(r.stdout, r'upgraded: pid \d+ serves, pid %d drains' % old, '... says who serves')
        else:
            os.kill(old, signal.SIGUSR2)
            ok(g.wait_log(r'pid \d+ has taken over'), 'SIGUSR2 does the same')
        new = g.master_pid()
        isnt(new, old, 'the pid file names the new master')
        is_(g.status()['pid'], new, 'the control socket is the new one\'s')
        is_(g.status()['generation'], generation + 1, 'the generation goes on')
        wait_until(lambda: all(gone(p) for p in pids), 'the old one has drained and gone')
        ok(not os.path.exists(g.path('data/sallyport.pid.oldbin')), 'its pid file too')
        knocker.finish(how)
        is_(g.reload().returncode, 0, 'the new one reloads')

    # what cannot start does not replace what serves
    for what, code, pattern in (('#!/bin/sh\nexit 7\n', 1, r'exited with code 7'), ('not a program', 1, r'exited with code')):
        knocker = Knocker(g.port)
        old = g.all_pids()
        os.unlink(g.binary)
        with open(g.binary, 'w') as f:
            f.write(what)
        os.chmod(g.binary, 0o755)
        r = g.run('-s', 'upgrade', timeout=120)
        is_(r.returncode, code, 'a broken binary: the upgrade fails')
        like(r.stderr, pattern, '... and says how')
        is_(g.all_pids(), old, 'the old one serves on')
        knocker.finish('broken binary')
    os.unlink(g.binary)
    shutil.copy(BINARY, g.binary)

    good = g.conf()
    g.put('conf/sallyport.conf', good + 'nonsense;\n')
    knocker = Knocker(g.port)
    old = g.all_pids()
    r = g.run('-s', 'upgrade', timeout=120)
    is_(r.returncode, 1, 'a broken configuration: the upgrade fails')
    like(r.stderr, r'unknown directive "nonsense"', '... with the error')
    like(r.stderr, r'pid %d goes on serving' % old[0], '... and the verdict')
    is_(g.all_pids(), old, 'the old one serves on')
    knocker.finish('broken configuration')
    g.put('conf/sallyport.conf', good)

    # a new keeper that cannot take the store: the old one takes it back
    if g.workers > 1:
        g.write(good.replace('worker_processes %d' % g.workers, 'worker_processes %d' % (g.workers - 1)))
        r = g.run('-s', 'upgrade', timeout=120)
        is_(r.returncode, 1, 'fewer workers: the upgrade fails')
        like(r.stderr, r'worker_processes cannot fall', '... and says why')
    g.tolerate(r'worker_processes cannot fall')
    g.tolerate(r'cannot be started|cannot start|\[emerg\]')
    os.makedirs(g.path('elsewhere/sallyport.db'))
    g.write(good + 'data_dir elsewhere;\n')
    knocker = Knocker(g.port)
    before = g.processes()
    r = g.run('-s', 'upgrade', timeout=120)
    is_(r.returncode, 1, 'a store that cannot be opened: the upgrade fails')
    wait_until(lambda: g.processes()['keeper']['state'] == 'serving', 'the old keeper is back')
    after = g.processes()
    is_({n: p['pid'] for n, p in after.items() if n != 'keeper'}, {n: p['pid'] for n, p in before.items() if n != 'keeper'},
        'the old workers serve on')
    wait_until(lambda: all(p['state'] in ('accepting', 'serving') for p in g.processes().values()), 'everyone serves')
    is_(g.master_pid(), g.status()['pid'], 'the pid file is right')
    knocker.finish('broken store')
    g.write(good)

    # more workers
    g.write(good.replace('worker_processes %d' % g.workers, 'worker_processes %d' % (g.workers + 1)))
    knocker = Knocker(g.port)
    r = g.run('-s', 'upgrade', timeout=120)
    if not is_(r.returncode, 0, 'more workers: upgraded'):
        diag(r.stderr)
    is_(len(g.processes()), g.workers + 2, 'and there are more')
    knocker.finish('more workers')

done()
