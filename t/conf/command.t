#!/usr/bin/python3
"""sallyport -t, -T, -D: exit codes, the golden diagnostics through the real binary, the dump that parses back to itself."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from tap import done, is_, like, ok  # noqa: E402

SALLYPORT = os.path.abspath(os.environ.get('SALLYPORT', os.path.join(HERE, '..', '..', 'objs', 'sallyport')))
GOLDEN = os.path.join(HERE, 'golden')
work = tempfile.mkdtemp(prefix='sallyport-conf-')

# what does not depend on the modules that are built in
SAME_EVERYWHERE = ['lex_nul', 'lex_utf8', 'lex_control', 'lex_unterminated_quote_end', 'lex_quote_within', 'syn_missing_semicolon',
                   'syn_missing_semicolon_eof', 'syn_unclosed_many', 'syn_json', 'inc_missing', 'inc_cycle',
                   'inc_deep', 'inc_empty', 'inc_duplicate', 'name_unknown', 'dup_directive', 'type_workers', 'type_log_level',
                   'type_rate', 'type_size', 'empty_file']

CONF = r'''# a little of everything
worker_processes 2;
log_format mine '$time "$identity" ' "$reason\t\\";
access_log access.log mine;
policy {
    max_payload 64k floor;
    rate 500/s burst=1000 over=delay;
    durability commit;
}
realm "fleet one" {
    max_payload 32k;
    topic "/health/#" { rate 2/s burst=4; }
    topic lob/# { durability memory; max_payload 1k; }
    application firmware { rate 1/m; }
}
include realms/*.conf;
'''


def run(*args):
    return subprocess.run([SALLYPORT, *args], cwd=work, capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL)


def write(name, text):
    path = os.path.join(work, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as file:
        file.write(text)


def read(path):
    with open(path, encoding='utf-8', errors='replace') as file:
        return file.read()


def bare(dump):
    """A dump without its comments."""
    lines = [re.sub(r'  # \S+:\d+$', '', line) for line in dump.splitlines()]
    return [line for line in lines if not line.lstrip().startswith('#')]


def golden():
    for name in SAME_EVERYWHERE:
        r = run('-p', GOLDEN, '-c', name + '.conf', '-t')
        is_(r.returncode, 3, name + ': exit code')
        want = read(os.path.join(GOLDEN, name + '.err'))
        is_(r.stderr[:len(want)], want, name + ': what is said')


def accepted():
    write('sallyport.conf', CONF)
    write('realms/b.conf', 'realm b { max_payload 1k; }\n')
    write('realms/a.conf', 'realm a { rate off; }\n')
    r = run('-p', work, '-c', 'sallyport.conf', '-t')
    is_(r.returncode, 0, '-t: exit code')
    like(r.stderr, r'a\.conf:1:16: warning: rate off has no effect', '-t: a warning')
    is_(sorted(os.listdir(work)), ['realms', 'sallyport.conf'], '-t writes nothing')
    r = run('-p', work, '-c', 'sallyport.conf', '-T')
    is_(r.returncode, 0, '-T: exit code')
    like(r.stdout, r'(?m)^    max_payload 64k floor;  # sallyport\.conf:6$', '-T: provenance')
    like(r.stdout, r'(?m)^        # max_payload 32k;  realm sallyport\.conf:11$', '-T: values from outer levels')
    ok(r.stdout.index('realm a') < r.stdout.index('realm b'), '-T: includes are in it, in the order of their names')
    write('again.conf', r.stdout)
    again = run('-p', work, '-c', 'again.conf', '-T')
    is_(again.returncode, 0, 'the dump is a configuration')
    is_(bare(again.stdout), bare(r.stdout), 'and dumps the same')


QOS = r'''realm a {
    topics a/#;
    topic a/x/# { min_qos 1; }
    topic a/+/y { max_qos 0; }
    topic a/z   { max_qos 0; }
    application nav { min_qos 1; }
    application log { max_qos 1; }
}
realm b { topics b/#;  min_qos 1; max_qos 0;  topic b/x { max_qos 0; } }
realm c { topics c/#;  min_qos 1; }
'''


def contradictions():
    """What no publication of QoS 0 and no delivery of QoS 1 can pass; where the module is built in."""
    if not re.search(r'(?m)^min_qos ', run('-D').stdout):
        return
    write('qos.conf', QOS)
    r = run('-p', work, '-c', 'qos.conf', '-t')
    is_(r.returncode, 0, 'min_qos above max_qos: taken')
    said = re.findall(r'(?m)^qos\.conf:(\d+):\d+: (warning: min_qos 1 and max_qos 0|note: the other)', r.stderr)
    is_([int(line) for line, _ in said], [4, 3, 6, 4, 9, 9], 'a warning for each block, naming both lines')


def command_line():
    r = run('-p', work, '-c', 'sallyport.conf', '-g', 'worker_proceses 1;', '-t')
    is_(r.returncode, 3, '-g: exit code')
    like(r.stderr, r'^<command line>:1:1: error: unknown directive "worker_proceses"', '-g: the place')
    r = run('-p', work, '-c', 'nothing.conf', '-t')
    is_(r.returncode, 3, 'no file: exit code')
    like(r.stderr, r'cannot read "nothing\.conf": no such file', 'no file')


def reference():
    r = run('-D')
    is_(r.returncode, 0, '-D: exit code')
    like(r.stdout, r'(?m)^max_payload SIZE;\n    in        policy realm topic application\n    default   ', '-D: a directive')


try:
    golden()
    accepted()
    contradictions()
    command_line()
    reference()
finally:
    shutil.rmtree(work)
done()
