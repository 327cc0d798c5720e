#!/usr/bin/python3
"""Start, stop, quit, reopen; pid file, control socket; background; what is left behind: nothing."""

import os
import signal
import socket
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from gateway import FLEET, Gateway, gone, wait_until  # noqa: E402
from tap import diag, done, is_, like, ok, unlike  # noqa: E402

# start and stop, by order
with Gateway(FLEET, name='order') as g:
    is_(g.master_pid(), g.process.pid, 'the pid file names the master')
    mode = os.stat(g.path('data/control.sock'))
    ok(stat.S_ISSOCK(mode.st_mode), 'the control socket is there')
    is_(stat.S_IMODE(mode.st_mode), 0o600, '... for its owner only')
    s = g.status()
    is_(s['state'], 'running', 'status: running')
    is_(s['generation'], 1, 'status: generation 1')
    is_(len(s['listeners']), 1, 'status: the listener')
    is_(len(s['processes']), g.workers + 1, 'status: all processes')
    text = g.run('status').stdout
    like(text, r'(?m)^processes$', 'status as text')
    like(text, r'worker0', '... with the workers')
    pids = g.all_pids()
    r = g.run('explain', '--identity', 'drone', '--topic', '/rl/log')
    is_(r.returncode, 0, 'explain asks the running gateway')
    like(r.stdout, r'DENIED', '... and it answers')
    r = g.run('-c', 'conf/sallyport.conf')
    is_(r.returncode, 1, 'a second gateway does not start')
    like(r.stderr, r'running already', '... and says why')
    is_(g.status()['pid'], pids[0], '... and the first one serves on')
    g.edit('worker_processes', '#')
    is_(g.run('-s', 'stop').returncode, 0, '-s stop')
    ok(g.wait_end(), 'everyone has gone')
    wait_until(lambda: all(gone(p) for p in pids), 'every one of them is gone')
    ok(True, 'really')
    is_(g.process.returncode, 0, 'the exit code is 0')
    ok(not os.path.exists(g.path('data/sallyport.pid')), 'no pid file is left')
    ok(not os.path.exists(g.path('data/control.sock')), 'no control socket is left')

# by signals
for number, what in ((signal.SIGTERM, 'SIGTERM'), (signal.SIGINT, 'SIGINT'), (signal.SIGQUIT, 'SIGQUIT')):
    with Gateway(FLEET, name=what) as g:
        os.kill(g.master_pid(), number)
        ok(g.wait_end(), what + ' ends it')
        is_(g.process.returncode, 0, what + ': exit code 0')

# a terminal's Ctrl-C goes to every process
with Gateway(FLEET, name='ctrl-c') as g:
    os.killpg(g.process.pid, signal.SIGINT)
    ok(g.wait_end(), 'Ctrl-C for all ends it')
    is_(g.process.returncode, 0, '... in good order')

with Gateway(FLEET, name='quit') as g:
    is_(g.run('-s', 'quit').returncode, 0, '-s quit')
    ok(g.wait_end(), '... ends it')

# logs: moved away, then opened anew
with Gateway('error_log logs/error.log info;\n' + FLEET, start=False, name='logs') as g:
    r = g.run()
    # by root it is found when the log is opened: who checks the configuration then may not look into this prefix
    is_(r.returncode, 1 if os.getuid() == 0 else 3, 'a log in a directory that does not exist: exit code')
    like(r.stderr, r'cannot open the log "?\S+/logs/error\.log"?: its directory does not exist', '... and why')
    ok(not os.path.exists(g.path('logs')), '... which is not made')
    os.mkdir(g.path('logs'))
    g.start(expect_ready=False)
    log = g.path('logs/error.log')
    wait_until(lambda: os.path.exists(log) and 'ready' in open(log).read(), 'the gateway is ready')
    is_(stat.S_IMODE(os.stat(log).st_mode), 0o640, 'the log is not for everybody')
    worker = g.worker_pids()[0]

    def links(pid):
        where = '/proc/%d/fd' % pid
        return [os.readlink(os.path.join(where, f)) for f in os.listdir(where)]
    for how in ('order', 'signal'):
        old = '%s.%s' % (log, how)
        os.rename(log, old)
        if how == 'order':
            is_(g.run('-s', 'reopen').returncode, 0, '-s reopen')
        else:
            os.kill(g.master_pid(), signal.SIGUSR1)
        wait_until(lambda: os.path.exists(log) and 'opened anew' in open(log).read(), 'the new log is used')
        g.status()  # every process has heard of it when it answers
        if os.access('/proc/%d/fd' % worker, os.R_OK):  # not dumpable: only root sees it
            files = links(worker)
            ok(log in files and old not in files, 'by %s: the workers use it too' % how)
    g.run('-s', 'stop')
    g.wait_end()
    like(open(log).read(), r'has ended', 'the last line is in the new log')

# in the background
with Gateway('daemon on;\nerror_log error.log info;\n' + FLEET, start=False, name='daemon') as g:
    r = subprocess.run([g.binary, '-p', g.prefix], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True, timeout=30)
    if not is_(r.returncode, 0, 'it returns 0'):
        diag(r.stderr)
    is_(g.status()['state'], 'running', '... when it serves')
    pid = g.master_pid()
    is_(os.readlink('/proc/%d/fd/0' % pid), '/dev/null', 'its input is /dev/null')
    is_(os.getsid(pid), pid, 'it has a session of its own')
    r = subprocess.run([g.binary, '-p', g.prefix], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    is_(r.returncode, 1, 'a second one returns 1')
    like(r.stderr, r'\[emerg\] \d+ master: a gateway is running already', '... and says why on the terminal, not in its log only')
    pids = g.all_pids()
    is_(g.run('-s', 'stop').returncode, 0, 'and it stops')
    wait_until(lambda: all(gone(p) for p in pids), 'everyone has gone')

# an address that is taken
with Gateway(FLEET, name='taken') as g:
    other = Gateway(FLEET, start=False, name='other')
    other.ports[1] = g.port
    other.write(FLEET)
    r = other.run()
    is_(r.returncode, 1, 'an address in use: exit code 1')
    like(r.stderr, r'sallyport\.conf:\d+: error: cannot listen on 127\.0\.0\.1:%d: Address already in use' % g.port,
         '... named with its line, although SO_REUSEPORT would share it')
    other.close()

# why it does not start is said on the terminal too when the error log is a file
for daemon in ('off', 'on'):
    logged = 'daemon %s;\nerror_log error.log notice;\n' % daemon + FLEET
    with Gateway(FLEET, name='holder ' + daemon) as g:
        other = Gateway(logged, start=False, name='logged ' + daemon)
        other.ports[1] = g.port
        other.write(logged)
        r = other.run()
        is_(r.returncode, 1, 'daemon %s: an address in use: exit code 1' % daemon)
        like(r.stderr, r'\[emerg\] .*Address already in use', '... is said')
        is_(r.stderr.count('Address already in use'), 1, '... once')
        like(open(other.path('error.log')).read(), r'Address already in use', '... and logged')
        other.close()
    for what, path in (('the keeper', 'data/sallyport.db'), ):
        other = Gateway(logged, start=False, name='keeper ' + daemon)
        os.makedirs(other.path(path))  # where the store wants its file
        r = other.run()
        is_(r.returncode, 1, 'daemon %s: %s cannot start: exit code 1' % (daemon, what))
        like(r.stderr, r'\[emerg\] \d+ keeper: cannot start', '... is said by itself')
        like(r.stderr, r'\[emerg\] \d+ master: keeper cannot be started', '... and by the master')
        unlike(r.stderr, r'\[(warn|notice|info)\]', '... and nothing else')
        other.close()
    other = Gateway(logged.replace('error.log', '/dev/null'), start=False, name='blind ' + daemon)
    os.makedirs(other.path('data/sallyport.db'))
    r = other.run()
    is_(r.returncode, 1, 'daemon %s: with no log at all: exit code 1' % daemon)
    like(r.stderr, r'the gateway did not start; its error log is /dev/null', '... and a word')
    other.close()

# directories: data_dir and what is in it, no other
for conf, why in (('pid run/sallyport.pid;', r'cannot make the pid file \S+/run/sallyport\.pid: its directory: No such file'),
                  ('control run/c.sock;', r'cannot make the control socket \S+/run/c\.sock: its directory: No such file'),
                  ('pid data/../run/p;', r'cannot make the pid file'),
                  ('data_dir state/data;', r'cannot make data_dir \S+/state/data: the directory above it does not exist')):
    g = Gateway(conf + '\n' + FLEET, start=False, name='directories')
    r = g.run()
    is_(r.returncode, 1, conf + ' exit code 1')
    like(r.stderr, why, conf + ' why')
    ok(not os.path.exists(g.path('run')) and not os.path.exists(g.path('state')), conf + ' no directory is made')
    g.close()
with Gateway('pid data/run/p;\ncontrol data/run/c;\nerror_log data/error.log;\n' + FLEET, start=False, name='within') as g:
    g.start(expect_ready=False)
    wait_until(lambda: os.path.exists(g.path('data/error.log')) and ' ready, ' in open(g.path('data/error.log')).read(), 'it is ready')
    ok(os.path.exists(g.path('data/run/p')), 'directories within data_dir are made')
    is_(g.run('-s', 'stop').returncode, 0, '... and it stops')
    g.wait_end()

# the service manager is told
with Gateway(FLEET, start=False, name='notify') as g:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.settimeout(30)
    manager.bind(g.path('notify'))
    g.env['NOTIFY_SOCKET'] = g.path('notify')
    g.start()
    like(manager.recv(1000).decode(), r'READY=1\nMAINPID=%d\n' % g.master_pid(), 'READY=1')
    g.reload()
    like(manager.recv(1000).decode(), r'^RELOADING=1\nMONOTONIC_USEC=\d+$', 'RELOADING=1')
    like(manager.recv(1000).decode(), r'^READY=1', 'READY=1 again')
    g.put('conf/sallyport.conf', 'nonsense;')
    g.reload(expect=4)
    like(manager.recv(1000).decode(), r'^RELOADING=1', 'a refused reload: RELOADING=1')
    like(manager.recv(1000).decode(), r'^READY=1', '... and READY=1')
    g.run('-s', 'stop')
    is_(manager.recv(1000).decode(), 'STOPPING=1', 'STOPPING=1')
    manager.close()

# privileges
if os.getuid() == 0:
    with Gateway('user nobody;\n' + FLEET, start=False, name='user') as g:
        os.chmod(g.prefix, 0o755)
        g.start()
        status = lambda pid: dict(l.split(':\t', 1) for l in open('/proc/%d/status' % pid).read().splitlines() if ':\t' in l)  # noqa: E731
        for name, p in g.processes().items():
            s = status(p['pid'])
            is_(s['Uid'].split()[0], '65534', name + ' runs as nobody')
            is_(s['CapEff'].strip('0'), '', name + ' has no capabilities')
            is_(s['CapAmb'].strip('0'), '', name + ' has no ambient capabilities')
            is_(s['NoNewPrivs'], '1', name + ' cannot get new privileges')
            limits = open('/proc/%d/limits' % p['pid']).read()
            if 'sanitize' not in g.run('-V').stdout:
                like(limits, r'Max core file size +0 +0', name + ' leaves no core')
                is_(os.stat('/proc/%d/mem' % p['pid']).st_uid, 0, name + ' is not dumpable')
        is_(stat.S_IMODE(os.stat(g.path('data/control.sock')).st_mode), 0o660, 'the control socket is for its group too')

        def ask(*args):
            return subprocess.run([g.binary, '-p', g.prefix, *args], capture_output=True, text=True, user=65534, group=65534,
                                  extra_groups=[], timeout=30)
        os.chmod(g.path('data'), 0o755)
        is_(ask('status').returncode, 0, 'the workers\' user may ask')
        r = ask('-s', 'stop')
        is_(r.returncode, 1, '... but not command')
        like(r.stderr, r'not command', '... and is told so')
        r = subprocess.run([g.binary, '-p', g.prefix, 'status'], capture_output=True, text=True, user=1, group=1, extra_groups=[],
                           timeout=30)
        is_(r.returncode, 1, 'somebody else may not even ask')
        is_(g.reload().returncode, 0, 'a reload works without privileges in the workers')

done()
