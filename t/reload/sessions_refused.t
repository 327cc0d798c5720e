#!/usr/bin/python3
"""Files that must not be taken: broken, half-written, empty, unreadable, or such as only a restart can follow. Each is refused with
exit code 4 and every error at its place, and the gateway serves on under the configuration it has."""

import os
import signal
import socket
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from fleet import Fleet, Traffic, until  # noqa: E402
from tap import diag, is_, like, ok  # noqa: E402

GARBAGE = bytes((7 * n * n + n // 3) % 256 for n in range(700))
ACL = 'user gcs\ntopic write /algo/phase/gcs\n'


def start():
    """A gateway with an ACL file beside its rules."""
    fleet = Fleet(name='refused', start=False, mqtt='    acl_file conf/aclfile;\n')
    fleet.write('conf/aclfile', ACL)
    fleet.start()
    return fleet


fleet = start()
good = fleet.conf
traffic = Traffic(fleet, publishers=2, subscribers=2)
probe = fleet.client('gcs', level=5)


def code(topic):
    """The PUBACK's reason, 0 also for 'no matching subscribers'."""
    reason = probe.publish(topic, b'x', qos=1).reason
    return 0 if reason == 0x10 else reason


is_(code('/algo/phase/gcs'), 0, 'the ACL file allows')
is_(code('/ddos/gcs'), 0x87, 'what nothing allows is refused')


def refused(name, *patterns):
    """A reload now is refused, says this, and changes nothing."""
    text, generation = '', fleet.status()['generation']
    try:
        text = fleet.reload(4)
        ok(True, name + ': refused with exit code 4')
    except AssertionError as error:
        ok(False, name + ': refused with exit code 4')
        diag(error)
    for pattern in patterns:
        like(text, pattern, name + ': says so')
    is_(fleet.status()['generation'], generation, name + ': the generation is the old one')
    is_(code('/algo/phase/gcs'), 0, name + ': what was allowed is')
    is_(code('/ddos/gcs'), 0x87, name + ': what was forbidden is')
    return text


def conf(name, text, *patterns):
    """A reload with this text is refused."""
    fleet.write('conf/sallyport.conf', text)
    result = refused(name, *patterns)
    fleet.write('conf/sallyport.conf', good)
    return result


def file(name, path, data, *patterns):
    """A reload with these bytes in a file is refused."""
    before = fleet.read(path)
    if data is None:
        os.remove(fleet.path(path))
    else:
        fleet.write(path, data)
    result = refused(name, *patterns)
    fleet.write(path, before)
    return result


# the configuration's own text
broken = good.replace('allow gcs publish', 'allow gcs publsh').replace('max_payload  64k;', 'max_payload  lots;').replace(
    '    listen 127.0.0.1', '    lissten 127.0.0.1')
lines = [number for number, (a, b) in enumerate(zip(good.split('\n'), broken.split('\n')), 1) if a != b]
is_(len(lines), 3, 'three lines are broken')
text = conf('three errors', broken, *[r'sallyport\.conf:%d:\d+: error' % number for number in lines])
like(text, 'did you mean "listen"', 'with a suggestion')
like(text, r'(?m)^ *%d \|' % lines[0], 'and the line itself')
conf('half-written: ends within a block', good[:good.index('allow gcs subscribe')], r'sallyport\.conf:\d+')
conf('half-written: ends within a word', good[:good.index('max_payload') + 5], r'sallyport\.conf:\d+')
conf('an empty file', '', r'sallyport\.conf|empty')
conf('only white space and a comment', '\n\n# later\n', r'sallyport\.conf|listen')
conf('random bytes', GARBAGE * 20, r'sallyport\.conf:\d+')
conf('ten thousand open braces', 'policy {\n' * 10000, r'sallyport\.conf:\d+')
conf('an unclosed quote', good + '\nrealm x { topics "x/#; }\n', r'sallyport\.conf:\d+')
conf('an include that is not there', good + '\ninclude conf/missing.conf;\n', r'missing\.conf')
conf('an include of itself', good + '\ninclude conf/sallyport.conf;\n', r'sallyport\.conf')
conf('an unknown trust', good.replace('trust=fleet', 'trust=fleeet'), r'sallyport\.conf:\d+:\d+: error', 'fleeet')
conf('two realms with one filter', good + '\nrealm twin { topics "/health/#"; }\n', r'sallyport\.conf:\d+', r'sallyport\.conf:%d' % fleet.line_of('topics "/health'))
os.remove(fleet.path('conf/sallyport.conf'))
refused('no file', r'sallyport\.conf')
os.mkdir(fleet.path('conf/sallyport.conf'))
refused('a directory in its place', r'sallyport\.conf')
os.rmdir(fleet.path('conf/sallyport.conf'))
fleet.write('conf/sallyport.conf', good)

# what only a restart can follow
number = fleet.line_of('worker_processes')
conf('worker_processes changed', good.replace('worker_processes  %d' % fleet.workers, 'worker_processes  %d' % (fleet.workers + 1)),
     'worker_processes', r'sallyport\.conf:%d' % number)
other = good.replace('worker_processes', '# one line more\nworker_processes').replace('data_dir          data', 'data_dir          elsewhere')
conf('data_dir changed', other, 'data_dir', r'sallyport\.conf:%d' % (fleet.line_of('data_dir') + 1), r'sallyport\.conf:%d\b' % fleet.line_of('data_dir'))

# an address that cannot be had
taken = socket.socket()
taken.bind(('127.0.0.1', 0))
taken.listen(1)
conf('a listener on an address in use', good.replace('mqtt {', 'mqtt {\n    listen 127.0.0.1:%d trust=fleet;' % taken.getsockname()[1]),
     r'127\.0\.0\.1:%d|sallyport\.conf:\d+' % taken.getsockname()[1])
taken.close()

# the ACL file
file('an empty ACL file', 'conf/aclfile', b'', 'aclfile', 'empty')
file('an ACL file of comments', 'conf/aclfile', b'# nothing\n\n', 'aclfile')
file('no ACL file', 'conf/aclfile', None, 'aclfile')
file('a half-written ACL file: ends within a word', 'conf/aclfile', ACL + 'topi', r'aclfile:3')
file('a half-written ACL file: ends after a word', 'conf/aclfile', ACL + 'topic ', r'aclfile:3')
file('a half-written ACL file: no name', 'conf/aclfile', ACL + 'user', r'aclfile:3')
file('an ACL file of garbage', 'conf/aclfile', GARBAGE, r'aclfile')
os.rename(fleet.path('conf/aclfile'), fleet.path('conf/aside'))
os.mkdir(fleet.path('conf/aclfile'))
refused('a directory for an ACL file', 'aclfile')
os.rmdir(fleet.path('conf/aclfile'))
if os.geteuid() != 0:
    fleet.write('conf/aclfile', ACL)
    os.chmod(fleet.path('conf/aclfile'), 0)
    refused('an ACL file that may not be read', 'aclfile')
    os.remove(fleet.path('conf/aclfile'))
os.rename(fleet.path('conf/aside'), fleet.path('conf/aclfile'))

# credentials
ca, key = fleet.read('pki/ca.crt'), fleet.read('pki/gateway.key')
file('an empty CA file', 'pki/ca.crt', b'', r'ca\.crt')
file('no CA file', 'pki/ca.crt', None, r'ca\.crt')
file('half a CA file', 'pki/ca.crt', ca[:len(ca) // 2], r'ca\.crt')
file('a CA file of garbage', 'pki/ca.crt', GARBAGE, r'ca\.crt')
file('a CA and half of another', 'pki/ca.crt', ca + ca[:len(ca) // 2], r'ca\.crt')
crl = fleet.read('pki/ca.crl')
file('an empty CRL', 'pki/ca.crl', b'', r'ca\.crl')
file('half a CRL', 'pki/ca.crl', crl[:len(crl) // 2], r'ca\.crl')
file('no CRL', 'pki/ca.crl', None, r'ca\.crl')
file('a certificate in place of the CRL', 'pki/ca.crl', ca, r'ca\.crl')
file('an empty key', 'pki/gateway.key', b'', r'gateway\.key')
file('the key of another certificate', 'pki/gateway.key', fleet.read('pki/drone.key'), r'gateway\.(key|crt)')
file('half a certificate', 'pki/gateway.crt', fleet.read('pki/gateway.crt')[:200], r'gateway\.crt')

# SIGHUP has nobody to tell but the log
generation = fleet.status()['generation']
fleet.write('conf/sallyport.conf', broken)
os.kill(fleet.pids()['master'], signal.SIGHUP)
until(lambda: all('sallyport.conf:%d' % number in fleet.log() for number in lines), 'the errors in the log')
ok(True, 'SIGHUP: the errors are in the log')
is_(fleet.status()['generation'], generation, 'SIGHUP: refused')
fleet.write('conf/sallyport.conf', good)
is_(fleet.command('-t').returncode, 0, 'the good file is good')
fleet.write('conf/aclfile', b'')
is_(fleet.command('-t').returncode, 3, '-t says 3 to an empty ACL file')
fleet.write('conf/aclfile', ACL)

# and in the end a good one is taken
is_([p.losses for p in traffic.publishers], [0] * len(traffic.publishers), 'no publisher lost its connection')
is_([r.lost for r in traffic.receivers], [None] * len(traffic.receivers), 'no subscriber either')
traffic.flows()
fleet.write_conf(good.replace('allow gcs publish ', 'allow gcs publish "/ddos/gcs" '))
fleet.reload()
is_(code('/ddos/gcs'), 0, 'a good file is taken')
ok(fleet.status()['generation'] != generation, 'with a generation of its own')
is_(traffic.finish(), {}, 'nothing was lost')
diag(traffic.describe())

# a start is as strict
fleet.write('conf/aclfile', b'')
probe.close()
fleet.gateway.stop()
is_(fleet.command(timeout=60).returncode, 3, 'a start with an empty ACL file: exit code 3')
fleet.write('conf/aclfile', ACL)
fleet.start()
ok(fleet.serves(), 'with a good one it starts')
fleet.done()
