#!/usr/bin/python3
"""Reload as the processes see it: verdicts, refusals, listeners that come and go, several at a time."""

import os
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from gateway import FLEET, Gateway, wait_until  # noqa: E402
from tap import done, is_, like, ok  # noqa: E402


def connects(port):
    try:
        socket.create_connection(('127.0.0.1', port), timeout=10).close()
        return True
    except ConnectionRefusedError:
        return False


with Gateway(FLEET) as g:
    pids = g.all_pids()
    r = g.reload()
    like(r.stdout, r'^reloaded: generation 2 in force; sessions: 0 kept, 0 trimmed, 0 closed; swapped in [\d.]+ ms', 'the verdict')
    is_({p['generation'] for p in g.processes().values()}, {2}, 'every process has generation 2')
    is_(g.all_pids(), pids, 'no process was replaced')
    g.mark()
    os.kill(g.master_pid(), signal.SIGHUP)
    ok(g.wait_log(r'reloaded: generation 3'), 'SIGHUP does the same')

    # refused: every error, and nothing has changed
    good = g.conf()
    digest = g.status()['digest']
    g.put('conf/sallyport.conf', good + 'nonsense on;\nmore_nonsense;\n')
    r = g.reload(expect=4)
    like(r.stderr, r'conf/sallyport\.conf:\d+:1: error: unknown directive "nonsense"', 'the first error')
    like(r.stderr, r'unknown directive "more_nonsense"', 'and the second')
    like(r.stderr, r'reload refused: generation 3 stays in force', 'the verdict')
    is_(g.status()['generation'], 3, 'the generation stays')
    is_(g.status()['digest'], digest, 'and so does the configuration')

    for what, old, new, pattern in (
            ('a RESTART directive', 'worker_processes %d' % g.workers, 'worker_processes %d' % (g.workers + 1), r'worker_processes'),
            ('an empty CA', None, b'', r'pki/ca\.crt'),
            ('a missing file', None, None, r'pki/ca\.crt')):
        g.put('conf/sallyport.conf', good)
        ca = open(g.path('pki/ca.crt'), 'rb').read()
        if old is not None:
            g.edit(old, new)
        elif new is not None:
            g.put('pki/ca.crt', new)
        else:
            os.unlink(g.path('pki/ca.crt'))
        r = g.reload(expect=4)
        like(r.stderr, pattern, what + ' is refused by name')
        like(r.stderr, r'sallyport\.conf:\d+', what + ': with the line')
        g.put('pki/ca.crt', ca)
    g.put('conf/sallyport.conf', good)
    g.put('conf/sallyport.conf', good.replace('worker_processes %d' % g.workers, 'worker_processes %d' % (g.workers + 1)))
    r = g.reload(expect=4)
    like(r.stderr, r'sallyport\.conf:\d+:\d+: error: worker_processes cannot change by a reload(.|\n)*sallyport\.conf:\d+:\d+: note',
         'RESTART: both places are named')
    g.put('conf/sallyport.conf', good)
    is_(g.reload().returncode, 0, 'the good one is taken again')
    is_(g.status()['generation'], 4, 'as generation 4')

    # listeners
    taken = socket.socket()
    taken.bind(('127.0.0.1', 0))
    taken.listen()
    g.write(good + 'mqtt { listen 127.0.0.1:%d plain; }\n' % taken.getsockname()[1])
    r = g.reload(expect=4)
    like(r.stderr, r'cannot listen on 127\.0\.0\.1:%d: Address already in use' % taken.getsockname()[1],
         'a listener whose address is taken: refused')
    g.write(good + 'mqtt { listen 127.0.0.1:@PORT2@ plain; }\n')
    ok(not connects(g.port_of(2)), 'the new address is closed')
    g.reload()
    ok(connects(g.port_of(2)), 'after the reload it is open')
    is_(len(g.status()['listeners']), 2, 'and in the status')
    live = socket.create_connection(('127.0.0.1', g.port_of(2)), timeout=10)
    g.put('conf/sallyport.conf', good)
    g.reload()
    ok(not connects(g.port_of(2)), 'taken out: closed again')
    ok(connects(g.port), 'the other one stays open')
    live.close()

    # log level and log file are live
    g.write(good.replace('error_log stderr info', 'error_log other.log debug'))
    g.reload()
    like(open(g.path('other.log')).read(), r'reloaded: generation', 'the new log is in use')
    g.put('conf/sallyport.conf', good)
    g.reload()

    # several at a time: each gets a verdict that is younger than its question
    start = g.status()['generation']
    many = [subprocess.Popen([g.binary, '-p', g.prefix, '-s', 'reload'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(8)]
    results = [p.communicate(timeout=60) for p in many]
    is_([p.returncode for p in many], [0] * 8, 'eight reloads at a time: all get their verdict')
    ok(all('reloaded' in out for out, _ in results), 'the same for all')
    ok(start < g.status()['generation'] <= start + 8, 'together')

    # a client that goes away does not stop it
    p = subprocess.Popen([g.binary, '-p', g.prefix, '-s', 'reload'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    p.kill()
    p.wait()
    is_(g.reload().returncode, 0, 'a client that died does not hinder')

    # a process that does not answer dies in the middle: given up, or done without it, never stuck
    victim = g.worker_pids()[0]
    os.kill(victim, signal.SIGSTOP)
    p = subprocess.Popen([g.binary, '-p', g.prefix, '-s', 'reload'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: g.status()['state'] == 'reloading', 'the reload runs')
    os.kill(victim, signal.SIGKILL)
    out, err = p.communicate(timeout=60)
    is_(p.returncode, 4, 'a worker that dies while it prepares: refused')
    like(err, r'worker0 died while it took the new configuration', 'with the reason')
    ok(g.wait_log(r'worker0 is up'), 'the worker comes back')
    is_(g.reload().returncode, 0, 'and the next reload is taken')
    wait_until(lambda: len({q['generation'] for q in g.processes().values()}) == 1, 'all have one generation')

    # snapshots do not pile up
    for _ in range(5):
        g.reload()
    wait_until(lambda: {q.get('snapshots') for q in g.processes().values()} == {1}, 'one snapshot in each process')
    ok(True, 'old snapshots have gone')

done()
