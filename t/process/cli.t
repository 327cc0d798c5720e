#!/usr/bin/python3
"""The command line: what needs no running gateway, exit codes, suggestions."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from gateway import FLEET, Gateway  # noqa: E402
from tap import done, is_, like, ok, unlike  # noqa: E402

g = Gateway(FLEET, start=False)


def check(args, code, out=None, err=None, name=None):
    r = g.run(*args)
    name = name or 'sallyport ' + ' '.join(args)
    is_(r.returncode, code, name + ': exit code')
    if out is not None:
        like(r.stdout, out, name + ': output')
    if err is not None:
        like(r.stderr, err, name + ': complaint')
    return r


# usage
check(['-v'], 0, r'^sallyport \d+\.\d+')
check(['--version'], 0, r'^sallyport \d+\.\d+')
r = check(['-V'], 0, r'openssl +OpenSSL 3')
for word in ('built by', 'configure', 'libevent', 'sqlite', 'pcre2', 'libyaml', 'mosquitto', 'modules'):
    like(r.stdout, r'(?m)^' + word + ' ', '-V names ' + word)
check(['-h'], 0, r'usage: sallyport')
check(['--hlep'], 2, err=r'unknown option "--hlep"; did you mean "--help"\?')
check(['-x'], 2, err=r'unknown option "-x"')
check(['statsu'], 2, err=r'unknown command "statsu"; did you mean "status"\?')
check(['policy', 'diff', 'x'], 2, err=r'unknown command "policy"; there are status, explain, pki')
check(['-s', 'relaod'], 2, err=r'-s does not know "relaod"; did you mean "reload"\?')
check(['-s'], 2, err=r'a value is wanted behind "-s"')
check(['-c', ''], 2, err=r'file')
check(['-t', '-D'], 2, err=r'only one thing at a time')
check(['--json'], 2, err=r'--json belongs to status and explain')
check(['--man'], 2, err=r'--man belongs to -D')
check(['-t', '--topic', 'a'], 2, err=r'belong to explain')
check(['status', 'now'], 2, err=r'unexpected argument "now"')
check(['explain'], 2, err=r'explain wants --identity')
check(['explain', '--identity', 'a'], 2, err=r'explain wants --topic')
check(['explain', '--identity', 'a', '--topic', 'b', '--do', 'publsh'], 2, err=r'did you mean "publish"')
check(['--version=3'], 2, err=r'no value is wanted')
check(['\x1b[31m'], 2, err=r'\\x1b\[31m')

# -t
r = check(['-t'], 0, err=r'configuration .*conf/sallyport.conf test is successful')
is_(r.stdout, '', '-t prints nothing to standard output')
is_(sorted(os.listdir(g.prefix)), ['conf', 'pki'], '-t writes nothing')
check(['--test', '-g', 'no_such_thing on;'], 3, err=r'<command line>:1:1: error: unknown directive "no_such_thing"')
check(['-t', '-c', 'conf/none.conf'], 3, err=r'none\.conf')
g.put('conf/bad.conf', 'worker_processes lots;\nuser nobody-of-that-name;\nerror_logg stderr;\n')
r = check(['-t', '-c', 'conf/bad.conf'], 3, err=r'conf/bad\.conf:1:18: error')
like(r.stderr, r'conf/bad\.conf:3:1: error: unknown directive "error_logg"', 'every error is reported')
like(r.stderr, r'did you mean "error_log"', 'with a suggestion')
g.put('conf/user.conf', 'user nobody-of-that-name;\n')
check(['-t', '-c', 'conf/user.conf'], 3, err=r'conf/user\.conf:1: error: user "nobody-of-that-name" does not exist')
g.put('conf/logs.conf', 'error_log data/error.log;\naccess_log logs/access.log json;\n')
check(['-t', '-c', 'conf/logs.conf'], 3, err=r'conf/logs\.conf:2: error: cannot open the log "\S+/logs/access\.log": its directory does not exist')
unlike(g.run('-t', '-c', 'conf/logs.conf').stderr, r'logs\.conf:1', 'data_dir is made at the start')
is_(g.run('-c', 'conf/bad.conf').returncode, 3, 'a start with a broken configuration ends with 3')
is_(sorted(os.listdir(g.prefix)), ['conf', 'pki'], '... and leaves nothing behind')

# -T
r = check(['-T'], 0, r'listen')
like(r.stdout, r'# conf/sallyport\.conf:\d+', '-T tells where values come from')
g.put('conf/dump.conf', r.stdout)
again = g.run('-T', '-c', 'conf/dump.conf')
is_(again.returncode, 0, 'what -T prints parses')
values = lambda text: [line.split('#')[0].split() for line in text.splitlines() if line.split('#')[0].strip()]  # noqa: E731
is_(values(again.stdout), values(r.stdout), '... to the same thing')

# -D
r = check(['-D'], 0, r'worker_processes')
like(r.stdout, r'listen', '-D has the modules\' directives')
r = check(['-D', '--man'], 0)
like(r.stdout, r'(?m)^\.', '-D --man is manual page source')

# no gateway is running
for args in (['status'], ['-s', 'reload'], ['-s', 'stop'], ['explain', '--identity', 'a', '--topic', 'b']):
    check(args, 1, err=r'no gateway is running')

# explain from a file
r = check(['explain', '-c', 'conf/sallyport.conf', '--identity', 'drone', '--topic', '/rl/log'], 0, r'DENIED')
unlike(r.stderr, r'error', 'without a complaint')
check(['explain', '-c', 'conf/sallyport.conf', '--identity', 'controller', '--topic', '/rl/log'], 0, r'(?i)allowed')
check(['explain', '-c', 'conf/sallyport.conf', '--identity', 'controller', '--topic', '/health/#', '--do=subscribe'], 0)
check(['explain', '-c', 'conf/sallyport.conf', '--identity', 'a', '--topic', '/rl/#'], 2, err=r'not a valid topic')
check(['explain', '-c', 'conf/bad.conf', '--identity', 'a', '--topic', 'b'], 3, err=r'error')
check(['explain', '-c', 'x', '--control', 'y', '--identity', 'a', '--topic', 'b'], 2, err=r'not both')

# pki is passed on
check(['pki'], 2)
ok(not os.path.exists(g.path('data')), 'nothing of this has made a data directory')

g.close()
done()
