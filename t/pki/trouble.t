#!/usr/bin/python3
"""sallyport pki in trouble: wrong usage, damaged files, killed and concurrent runs."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from tap import diag, done, is_, like, ok, skip  # noqa: E402

SALLYPORT = os.path.abspath(os.environ.get('SALLYPORT',
                                           os.path.join(HERE, '..', '..', 'objs', 'sallyport')))
work = tempfile.mkdtemp(prefix='sallyport-pki-')
DIR = os.path.join(work, 'pki')


def run(*args):
    return subprocess.run([SALLYPORT, 'pki', *args], cwd=work, capture_output=True, text=True,
                          timeout=60, stdin=subprocess.DEVNULL)


def start(*args):
    return subprocess.Popen([SALLYPORT, 'pki', *args], cwd=work, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def path(name):
    return os.path.join(DIR, name)


def read(name):
    with open(path(name), 'rb') as file:
        return file.read()


def write(name, data):
    with open(path(name), 'wb') as file:
        file.write(data)


def refused(args, code, message, name):
    result = run(*args)
    is_(result.returncode, code, name)
    like(result.stderr, message, name + ': the message')


def test_usage():
    for args, message in (
            ([], 'usage: sallyport pki'),
            (['isue'], "unknown command 'isue'; did you mean 'issue'\\?"),
            (['frobnicate'], "unknown command 'frobnicate'; expected init, issue"),
            (['issue'], 'expected a NAME'),
            (['issue', 'a', 'b'], 'takes one NAME'),
            (['list', 'a'], 'takes no name'),
            (['issue', 'a/b'], 'expected only A-Z'),
            (['issue', '../b'], 'expected only A-Z'),
            (['issue', '.b'], 'neither a dot nor'),
            (['issue', '--', '-b'], 'neither a dot nor a hyphen'),
            (['issue', ''], 'expected 1 to 64'),
            (['issue', 'x' * 65], 'expected 1 to 64'),
            (['issue', 'ca'], 'the CA itself'),
            (['issue', 'a', '--sever'], "'--sever'; did you mean '--server'\\?"),
            (['issue', 'a', '--reason', 'superseded'], 'does not take --reason'),
            (['issue', 'a', '--days'], 'expected N after it'),
            (['issue', 'a', '--days', '0'], 'whole number from 1 to 36500'),
            (['issue', 'a', '--days', '-1'], 'whole number from 1 to 36500'),
            (['issue', 'a', '--days', '99999999999999999999'], 'whole number from 1 to 36500'),
            (['issue', 'a', '--server=yes'], 'expected no value'),
            (['issue', 'a', '--san', 'DNS:a'], 'expected --server'),
            (['issue', 'a', '--server', '--san', 'localhost'], 'expected DNS:HOST or IP:ADDRESS'),
            (['issue', 'a', '--server', '--san', 'DNS:a,'], 'expected DNS:HOST'),
            (['issue', 'a', '--server', '--san', 'DNS:' + 'a' * 5000], 'expected DNS:HOST'),
            (['issue', 'a', '--key-type', 'ed2551'], "did you mean 'ed25519'\\?"),
            (['renew', 'a', '--key-type', 'ec'], 'expected --new-key'),
            (['renew', 'a', '--reason', 'superseded'], 'expected --revoke-old'),
            (['renew', 'ca', '--new-key'], 'only --dir and --days'),
            (['revoke', 'a', '--reason', 'whim'], "unknown --reason 'whim'"),
            (['init', '--cn', 'a\nb'], 'printable ASCII')):
        refused(args, 2, message, 'usage: ' + repr(' '.join(args))[:60])
    ok(not os.path.exists(DIR), 'none of these made a directory')
    refused(['issue', 'a'], 1, "pki: No such file.*made by 'sallyport pki init'", 'no directory')
    result = run('--help')
    is_(result.returncode, 0, '--help')
    like(result.stdout, r'(?s)init.*issue NAME.*renew NAME.*revoke NAME.*crl.*list.*demo', 'lists all')
    for command in 'init', 'issue', 'renew', 'revoke', 'crl', 'list', 'demo':
        result = run(command, '--help')
        is_((result.returncode, '--dir DIR' in result.stdout), (0, True), command + ' --help')


def damage(name, data, args, code, message, what):
    """Puts data (None: nothing) in the place of a file for one run."""
    before = read(name)
    if data is None:
        os.unlink(path(name))
    else:
        write(name, data)
    refused(args, code, message, what)
    write(name, before)


def test_damage():
    is_(run('demo').returncode, 0, 'demo')
    issue = ['issue', 'new']
    index = read('index')
    damage('ca.crt', b'', issue, 1, r'pki/ca.crt: the file is empty; expected a certificate', 'empty ca.crt')
    damage('ca.crt', b'x', issue, 1, r'pki/ca.crt: expected a certificate in PEM', 'text in ca.crt')
    damage('ca.crt', read('ca.crt')[:200], issue, 1, r'pki/ca.crt: expected a cert', 'half a ca.crt')
    damage('ca.crt', read('gcs.crt'), issue, 1, r'ca.crt: expected a CA certificate', 'a leaf as CA')
    damage('ca.key', read('gcs.key'), issue, 1, r'ca.key: expected the key of pki/ca.crt', 'wrong key')
    damage('ca.key', None, issue, 1, r'pki/ca.key: No such file', 'no ca.key')
    damage('index', None, issue, 1, r'pki/index: No such file.*revocations would be', 'no index')
    damage('index', b'', issue, 1, r'pki/index: the file is empty', 'empty index')
    damage('index', index[:-10], issue, 1, r'pki/index: line \d+: expected', 'half an index')
    damage('index', index.replace(b' valid', b' fine', 1), issue, 1, r'line 5: expected valid, super',
           'a bad word in the index')
    damage('ca.crt', None, ['init'], 1, r'expected the CA that issued them', 'init over a lost ca.crt')
    damage('ca.crt', None, ['demo'], 1, r'expected the CA that issued them', 'so does demo')
    damage('gcs.key', None, ['renew', 'gcs'], 1, r'pki/gcs.key: No such file', 'renew without the key')
    damage('gcs.crt', None, ['renew', 'gcs'], 1, r'pki/gcs.crt: No such file', 'or the certificate')
    encrypted = subprocess.run(['openssl', 'pkcs8', '-topk8', '-passout', 'pass:x', '-in',
                                path('ca.key')], capture_output=True).stdout
    damage('ca.key', encrypted, issue, 1, r'ca.key: expected an unencrypted', 'an encrypted key')
    refused(['renew', 'dorne'], 1, r"did you mean 'drone'\?", 'renew an unknown name')
    refused(['revoke', 'nobody'], 1, r"knows no certificate of 'nobody'", 'revoke an unknown name')

    for name in 'new.key', 'new.crt':
        write(name, b'precious')
        refused(issue, 1, r'unknown to pki/index', 'a foreign ' + name)
        is_(read(name), b'precious', 'is left alone')
        os.unlink(path(name))

    os.chmod(path('ca.key'), 0o644)
    like(run('crl').stderr, r'warning: pki/ca.key: others may read this key .mode 0644.', 'a mode is complained of')
    os.chmod(path('ca.key'), 0o600)


def test_crl_repair():
    is_(run('revoke', 'operator').returncode, 0, 'revoke')
    for data, what in ((None, 'was missing'), (b'x', 'could not be read'),
                       (b'', 'could not be read')):
        if data is None:
            os.unlink(path('ca.crl'))
        else:
            write('ca.crl', data)
        like(run('demo').stdout, r'ca.crl %s; written anew' % what, 'a CRL that ' + what)
    old_crl, old_index = read('ca.crl'), read('index')
    is_(run('revoke', 'gcs').returncode, 0, 'revoke another')
    new_index = read('index')
    write('ca.crl', old_crl)
    like(run('list').stdout, r'(?m)^ca.crl .* stale', 'list shows a stale CRL')
    like(run('demo').stdout, 'ca.crl was older than the index; written anew', 'it is mended')
    crl = subprocess.run(['openssl', 'crl', '-in', path('ca.crl'), '-noout', '-text'],
                         capture_output=True, text=True).stdout
    is_(crl.count('Serial Number:'), 2, 'and lists both')
    write('index', old_index)
    refused(['issue', 'new'], 1, 'the index is older than the CRL', 'an index from a backup')
    write('index', new_index)
    like(run('revoke', 'gcs').stderr, 'the index is older', 'even one that is one step behind')
    shutil.rmtree(DIR)


def test_interrupted_init():
    is_(run('demo').returncode, 0, 'demo')
    for keep in (['ca.key'], ['ca.key', 'index'], []):
        shutil.rmtree(DIR)
        is_(run('init').returncode, 0, 'init')
        for name in os.listdir(DIR):
            if name not in keep:
                os.unlink(path(name))
        key = read('ca.key') if 'ca.key' in keep else None
        result = run('demo')
        is_(result.returncode, 0, 'demo after an init that left %s' % keep)
        ok(key is None or read('ca.key') == key, 'keeps a key that is there')


def consistent(what):
    rows = json.loads(run('list', '--json').stdout)
    bad = []
    for name in {row['name'] for row in rows if row['state'] == 'valid'
                 and row['kind'] == 'certificate'}:
        check = subprocess.run(['openssl', 'verify', '-crl_check', '-CAfile', path('ca.crt'),
                                '-CRLfile', path('ca.crl'), path(name + '.crt')],
                               capture_output=True, text=True)
        if check.returncode != 0:
            bad.append(name + ': ' + check.stderr)
    is_(bad, [], what + ': every valid certificate verifies')
    leftovers = [name for name in os.listdir(DIR) if name.endswith('.tmp')]
    if leftovers:
        diag('left by killed runs: %s' % leftovers)


def test_concurrent():
    shutil.rmtree(DIR)
    runs = [start('demo') for _ in range(6)]
    is_([r.wait(60) for r in runs], [0] * 6, 'six demos at once')
    outputs = [r.communicate()[0] for r in runs]
    is_(sum('made CA' in output for output in outputs), 1, 'one of them made the CA')
    is_(len(json.loads(run('list', '--json').stdout)), 7, 'and five certificates there are')
    runs = [start('issue', 'node%d' % (i % 8)) for i in range(16)]
    codes = [r.wait(60) for r in runs]
    for r in runs:
        r.communicate()
    is_(sorted(codes), [0] * 8 + [1] * 8, 'sixteen issues of eight names: eight succeed')
    consistent('after concurrent runs')

    with open(path('.lock')) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        blocked = start('crl')
        is_(run('list').returncode, 0, 'list works while another run has the lock')
        is_(blocked.poll(), None, 'crl waits for it')
        fcntl.flock(lock, fcntl.LOCK_UN)
        is_(blocked.wait(60), 0, 'and goes on')
        blocked.communicate()


def test_killed():
    for i in range(60):
        victim = start('renew', 'drone', '--new-key', '--revoke-old')
        try:
            victim.wait(0.0004 * i)
        except subprocess.TimeoutExpired:
            victim.send_signal(signal.SIGKILL)
        victim.communicate()
        if run('list').returncode != 0:
            break
    is_(run('list').returncode, 0, 'the directory can be read after every kill')
    is_(run('demo').returncode, 0, 'demo mends what is left')
    consistent('after kills')
    is_([row['state'] for row in json.loads(run('list', '--json').stdout)
         if row['kind'] == 'crl'], ['valid'], 'the CRL is current')


def test_no_permission():
    if os.geteuid() == 0:
        skip(1, 'root may write everywhere')
    else:
        os.chmod(DIR, 0o500)
        refused(['crl'], 1, r'pki/', 'a directory that may not be written')
        os.chmod(DIR, 0o700)
    with open('/dev/full', 'w') as full:
        result = subprocess.run([SALLYPORT, 'pki', 'list'], cwd=work, stdout=full,
                                stderr=subprocess.PIPE, text=True, timeout=60)
    is_(result.returncode, 1, 'list to a full device fails')
    like(result.stderr, 'standard output', 'and says so')


try:
    test_usage()
    test_damage()
    test_crl_repair()
    test_interrupted_init()
    test_concurrent()
    test_killed()
    test_no_permission()
finally:
    shutil.rmtree(work)
done()
