#!/usr/bin/python3
"""spload counts truly: clean traffic is clean, and each way in which messages can go wrong is seen, to the message."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from servers import BenchError, Mosquitto, make_pki  # noqa: E402

done = failed = 0


def ok(good, name, detail=''):
    global done, failed
    done += 1
    failed += not good
    print('%sok %d - %s' % ('' if good else 'not ', done, name), flush=True)
    if not good:
        print('\n'.join('# ' + line for line in str(detail).splitlines()), flush=True)


def skip(why):
    print('1..0 # SKIP ' + why)
    sys.exit(0)


def generator():
    """The generator: SPLOAD, or the build's, which `make test` has not made yet."""
    build = os.environ.get('SALLYPORT_BUILD', os.path.join(HERE, '..', '..', 'objs'))
    path = os.environ.get('SPLOAD', os.path.join(build, 't', 'bench', 'spload'))
    if 'SPLOAD' not in os.environ and os.path.exists(os.path.join(build, 'Makefile')):
        made = subprocess.run(['make', '--no-print-directory', '-f', os.path.join(build, 'Makefile'), 'bench'],
                              cwd=os.path.join(HERE, '..', '..'), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if made.returncode != 0:
            print('\n'.join('# ' + line for line in made.stdout.splitlines()[-10:]))
    return os.path.abspath(path) if os.access(path, os.X_OK) else None


def run(spload, server, scenario, *more, tls=False):
    argv = [spload, scenario, '--json', '--strict', '--port', str(server.tls_port if tls else server.plain_port)]
    if tls:
        argv += ['--tls', '--cafile', server.pki + '/ca.crt', '--cert', server.pki + '/drone.crt', '--key',
                 server.pki + '/drone.key']
    out = subprocess.run(argv + [str(m) for m in more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    lines = [line for line in out.stdout.splitlines() if line.startswith('{') and '"event"' not in line]
    return out.returncode, json.loads(lines[-1]) if lines else {}, out.stderr


def clean(spload, server):
    for tls in (False, True):
        for qos in (0, 1):
            for layout, p, s, fan in (('pairs', 5, 5, 1), ('fanout', 2, 20, 20), ('fanin', 20, 2, 2)):
                for v5 in ([], ['--v5']):
                    code, r, err = run(spload, server, 'throughput', '--layout', layout, '--publishers', p, '--subscribers', s,
                                       '--qos', qos, '--count', 500, '--credit', 500, *v5, tls=tls)
                    good = code == 0 and r['sent'] == 500 * p and r['delivered'] == 500 * p * fan and r['lost'] == 0 and r['clean']
                    good = good and r['acked'] == (500 * p if qos else 0)
                    ok(good, '%s %s qos %d %s: every message arrives once and in order' %
                       ('mtls' if tls else 'tcp', layout, qos, 'v5' if v5 else 'v3.1.1'), '%s %s %s' % (code, r, err))


def faults(spload, server):
    expected = {'loss': ('lost', 0), 'dup': ('duplicates', 1), 'swap': ('reordered', 0), 'flip': ('damaged', 0)}
    for fault, (field, extra) in expected.items():
        for qos in (0, 1):
            code, r, err = run(spload, server, 'throughput', '--publishers', 4, '--subscribers', 4, '--count', 1000, '--qos', qos,
                               '--fault', fault, '--fault-every', 100, '--drain-ms', 1000)
            wrong = {name: r.get(name) for name in ('lost', 'duplicates', 'reordered', 'damaged') if r.get(name)}
            want = {field: 40}
            if fault == 'flip':
                want['lost'] = 40  # a damaged message is none
            ok(code == 4 and wrong == want and r['sent'] == 4000, 'qos %d: 40 times %s is seen as that' % (qos, fault),
               '%s %s %s' % (code, r, err))


def dropping(spload, pki, home):
    """A real server that drops: the subscriber's queue is short and the publishers outrun it."""
    server = Mosquitto(shutil.which('mosquitto', path='/usr/bin:/usr/sbin'), os.path.join(home, 'dropping'), pki, None,
                       variables={'DIR': os.path.join(home, 'dropping')})
    real = server.fill

    def fill(template, target, **more):
        real(template, target, **more)
        with open(target, encoding='utf-8') as f:
            text = f.read()
        with open(target, 'w', encoding='utf-8') as f:
            f.write(text.replace('max_queued_messages       0', 'max_queued_messages       5')
                    .replace('max_inflight_messages     0', 'max_inflight_messages     1'))

    server.fill = fill
    server.start()
    try:
        code, r, err = run(spload, server, 'throughput', '--layout', 'fanin', '--publishers', 20, '--subscribers', 1, '--qos', 1,
                           '--count', 500, '--stall-ms', 300, '--drain-ms', 1000)
        ok(code == 4 and r['lost'] > 0 and r['delivered'] + r['lost'] == r['sent'],
           'what a server with short queues drops is counted: delivered and lost make sent', '%s %s %s' % (code, r, err))
    finally:
        server.stop()


def others(spload, server):
    code, r, err = run(spload, server, 'latency', '--publishers', 3, '--subscribers', 3, '--rate', 300, '--count', 100, '--qos', 1)
    ok(code == 0 and r['measured'] == 300 and 0 < r['p50_us'] <= r['p99_us'] <= r['max_us'], 'latency: every message measured',
       '%s %s %s' % (code, r, err))
    code, r, err = run(spload, server, 'steady', '--rate', 200, '--seconds', 1, tls=True)
    ok(code == 0 and r['sent'] == 200 and r['max_gap_ms'] >= 5, 'steady: the gap between messages is seen', '%s %s %s' % (code, r, err))
    code, r, err = run(spload, server, 'idle', '--connections', 30, '--seconds', 0.1, '--subscribe', 'bench/%d', '--settle-ms', 10,
                       '--sources', 3, '--pid', server.process.pid, tls=True)
    ok(code == 0 and r['connections'] == 30 and r['connections_lost'] == 0, 'idle: all connected', '%s %s %s' % (code, r, err))
    code, r, err = run(spload, server, 'handshake', '--connections', 30, '--pid', server.process.pid, tls=True)
    ok(code == 0 and r['connections'] == 30 and r['server_us_per_connection'] > 0, 'handshake: CPU time read',
       '%s %s %s' % (code, r, err))
    code, r, err = run(spload, server, 'idle', '--connections', 2, '--tls')
    ok(code == 1 and 'not connected' in err, 'a refused connection is an error, not a result', '%s %s %s' % (code, r, err))


def ended(spload, server):
    """The server goes away under load."""
    process = subprocess.Popen([spload, 'steady', '--json', '--strict', '--port', str(server.plain_port), '--rate', '500'],
                               stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    server.process.kill()
    out, _ = process.communicate(timeout=60)
    r = json.loads(out.splitlines()[-1])
    ok(process.returncode == 4 and r['connections_lost'] == 2, 'connections that the server ends are counted', out)


def main():
    spload = generator()
    mosquitto = shutil.which('mosquitto', path='/usr/bin:/usr/sbin:/usr/local/sbin')
    if spload is None:
        skip('no load generator in this build')
    if mosquitto is None:
        skip('no mosquitto')
    home = tempfile.mkdtemp(prefix='sallyport-spload-')
    try:
        pki = os.path.join(home, 'pki')
        make_pki(None, os.environ.get('OPENSSL', 'openssl'), pki)
        server = Mosquitto(mosquitto, os.path.join(home, 'm'), pki, None).start()
        try:
            clean(spload, server)
            faults(spload, server)
            others(spload, server)
            dropping(spload, pki, home)
            ended(spload, server)
        finally:
            server.stop()
    except BenchError as error:
        ok(False, 'the peer runs', error)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print('1..%d' % done)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
