#!/usr/bin/python3
"""Unmodified Mosquitto clients: both versions, QoS 0 and 1, wildcards, retained messages, wills, keep alive, refusals."""

import os
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from fleet import Fleet, until  # noqa: E402
from tap import diag, is_, like, ok, unlike  # noqa: E402

VERSIONS = ['mqttv311', 'mqttv5']


def matrix(fleet):
    """Every pair of versions, every QoS, publisher and subscriber wherever the kernel puts them."""
    subs = {(version, qos): fleet.sub('controller', '-V', version, '-q', str(qos), '-t', '/health/#', '-t', '/load/+/x')
            for version in VERSIONS for qos in (0, 1)}
    for version in VERSIONS:
        for qos in (0, 1):
            text = '%s-%d' % (version, qos)
            for topic in ('/health/drone', '/load/a/x'):
                done = fleet.pub('drone', '-V', version, '-q', str(qos), '-t', topic, '-m', text)
                is_((done.returncode, done.stderr), (0, ''), 'mosquitto_pub -V %s -q %d %s' % (version, qos, topic))
    last = fleet.pub('drone', '-q', '1', '-t', '/load/not/this/x', '-m', 'outside')
    is_(last.returncode, 0, 'a publication that no filter matches')
    wanted = sorted('%s %s-%d' % (topic, version, qos) for topic in ('/health/drone', '/load/a/x')
                    for version in VERSIONS for qos in (0, 1))
    for key, sub in subs.items():
        until(lambda sub=sub: len(sub.lines) >= len(wanted), 'all messages at %s %d: %r %r' % (*key, sub.lines, sub.notes))
        is_(sorted(sub.lines), wanted, 'mosquitto_sub -V %s -q %d got each message once' % key)
        granted = [note for note in sub.notes if note.startswith('Subscribed')]
        like(granted[0], ': %d, %d$' % (key[1], key[1]), 'and was granted the QoS it asked for')
        is_(sub.stop(), 0, 'and ends without a complaint')


def retained(fleet):
    """Retained messages reach later subscribers, are replaced and deleted."""
    for version, topic in zip(VERSIONS, ('/policy/a', '/policy/b')):
        is_(fleet.pub('controller', '-V', version, '-q', '1', '-r', '-t', topic, '-m', 'first').returncode, 0, 'retained ' + version)
        is_(fleet.pub('controller', '-V', version, '-q', '1', '-r', '-t', topic, '-m', 'second').returncode, 0, 'replaced ' + version)
    for version in VERSIONS:
        sub = fleet.sub('drone', '-V', version, '-q', '1', '-t', '/policy/#', '-C', '2', '-F', '%t %p r%r', ready=False)
        is_(sub.end(), 0, 'mosquitto_sub -C 2 ends by itself, ' + version)
        is_(sorted(sub.lines), ['/policy/a second r1', '/policy/b second r1'], 'both retained messages, marked as such')
    is_(fleet.pub('controller', '-q', '1', '-r', '-n', '-t', '/policy/a').returncode, 0, 'an empty payload')
    sub = fleet.sub('drone', '-V', 'mqttv5', '-q', '1', '-t', '/policy/#', '-C', '1', ready=False)
    sub.end()
    is_(sub.lines, ['/policy/b second'], 'deletes what was retained')
    sub = fleet.sub('drone', '-q', '1', '-t', '/policy/#', '--retained-only', ready=False)
    sub.wait('/policy/b second')
    sub.stop()


def wills(fleet):
    """A client that vanishes has its will published, one that says good-bye has not."""
    watch = fleet.sub('controller', '-q', '1', '-t', '/will/#')
    for version in VERSIONS:
        topic = '/will/' + version
        args = ['-V', version, '-t', '/load/none', '--will-topic', topic, '--will-payload', 'gone', '--will-qos', '1']
        polite = fleet.sub('drone', *args, '-t', '/load/bye', '-C', '1')  # (Ctrl-C asks for the will with MQTT 5: reason 0x04)
        is_(fleet.pub('drone', '-q', '1', '-t', '/load/bye', '-m', 'bye').returncode, 0, 'published')
        is_(polite.end(), 0, 'a client that ends as it should, ' + version)
        sudden = fleet.sub('drone', *args)
        sudden.kill()
        watch.wait(topic + ' gone')
        is_([line for line in watch.lines if line.startswith(topic)], [topic + ' gone'], 'one will, of the one that was killed, ' + version)
    refused = fleet.sub('drone', '-t', '/load/none', '--will-topic', '/policy/forbidden', '--will-payload', 'x', '--will-qos', '1')
    policy = fleet.sub('controller', '-q', '1', '-t', '/policy/#', '-R')
    refused.kill()
    allowed = fleet.sub('drone', '-t', '/load/none', '--will-topic', '/will/last', '--will-payload', 'x', '--will-qos', '1')
    allowed.kill()
    watch.wait('/will/last x')
    is_(policy.lines, [], 'a will to a topic that its owner may not publish to is not published')
    policy.stop()
    watch.stop()


def keepalive(fleet):
    """A client that falls silent is let go after one and a half times its keep alive, one that pings stays."""
    watch = fleet.sub('controller', '-q', '1', '-t', '/will/silent', '-k', '5')
    silent = fleet.sub('drone', '-t', '/load/none', '-k', '5', '--will-topic', '/will/silent', '--will-payload', 'silent', '--will-qos', '1')
    os.kill(silent.process.pid, signal.SIGSTOP)
    watch.wait('/will/silent silent', 60)
    ok(True, 'a client without a sign of life is dropped, its will published')
    silent.kill()
    until(lambda: watch.noted('received PINGRESP'), 'a PINGRESP')
    ok(watch.process.poll() is None, 'one that pings has stayed')
    watch.stop()


def refusals(fleet):
    """What the policy forbids."""
    rule = fleet.where('allow controller publish')
    for version in VERSIONS:
        sub = fleet.sub('drone', '-V', version, '-q', '1', '-t', '/health/#', ready=False)
        code = sub.end()
        ok(sub.noted('All subscription requests were denied'), 'a forbidden subscription is refused visibly, ' + version) or diag(sub.notes)
        diag('mosquitto_sub ended with %d' % code)
        both = fleet.sub('drone', '-V', version, '-q', '1', '-t', '/health/#', '-t', '/algo/desired')
        like('\n'.join(both.notes), r'Subscribed \(mid: \d+\): (128|135), 1', 'one of two: the other holds, ' + version)
        is_(fleet.pub('controller', '-q', '1', '-t', '/algo/desired', '-m', version).returncode, 0, 'published')
        both.wait('/algo/desired ' + version)
        both.stop()
    watch = fleet.sub('operator', '-q', '1', '-t', '/load/#', '-t', '/health/#')
    done = fleet.pub('drone', '-V', 'mqttv5', '-q', '1', '-d', '-t', '/rl/log', '-m', 'hello')
    like(done.stdout + done.stderr, r'RC:135|[Nn]ot authorized', 'MQTT 5: the PUBACK says not authorized')
    done = fleet.pub('drone', '-V', 'mqttv311', '-q', '1', '-d', '-t', '/rl/log', '-m', 'hello')
    is_(done.returncode, 0, 'MQTT 3.1.1: acknowledged and dropped')
    done = fleet.pub('drone', '-V', 'mqttv5', '-q', '0', '-t', '/health/gcs', '-m', 'not mine')
    done = fleet.pub('drone', '-V', 'mqttv5', '-q', '1', '-t', '/load/end', '-m', 'end')
    watch.wait('/load/end end')
    is_(watch.lines, ['/load/end end'], 'nothing forbidden was delivered')
    watch.stop()
    log = fleet.log()
    like(log, r'(?m)client=drone.*topic=/rl/log.*publish.*denied', 'the log tells who was denied what')
    like(log, r'topic=/rl/log publish denied by \S*sallyport\.conf:\d+', 'and by which line')
    unlike(log, rule + r'.*password', 'no secrets there')


def no_certificate(fleet):
    """Without a certificate, with one of another CA, without TLS."""
    files = fleet.tls('drone')
    base = ['mosquitto_pub', '-h', 'localhost', '-p', str(fleet.port), '-q', '1', '-t', '/health/drone', '-m', 'x']
    fleet.pki('demo', '--dir', 'other')
    for name, args in (('without a certificate', ['--cafile', files['cafile']]),
                       ('with the certificate of another CA', ['--cafile', files['cafile'], '--cert', fleet.path('other/drone.crt'),
                                                                '--key', fleet.path('other/drone.key')]),
                       ('without TLS', [])):
        done = subprocess.run(base + args, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        ok(done.returncode != 0, name + ': refused')
    ok(fleet.serves(), 'and others are served')


def request_response(fleet):
    """mosquitto_rr: response topic and correlation data pass through."""
    asked = fleet.sub('controller', '-V', 'mqttv5', '-q', '1', '-t', '/load/ask', '-F', '%R %D %p')
    rr = subprocess.Popen(fleet.mosquitto('mosquitto_rr', 'controller', '-V', 'mqttv5', '-q', '1', '-t', '/load/ask', '-e', '/load/answer',
                                          '-m', 'question', '-D', 'publish', 'correlation-data', 'c-1'), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
    asked.wait('/load/answer c-1 question')
    is_(fleet.pub('drone', '-V', 'mqttv5', '-q', '1', '-t', '/load/answer', '-m', 'answer').returncode, 0, 'answered')
    try:
        text, _ = rr.communicate(timeout=60)
    finally:
        rr.kill()
    is_(text, 'answer\n', 'mosquitto_rr got its answer')
    asked.stop()


fleet = Fleet(name='mosquitto')
for part in (matrix, retained, wills, keepalive, refusals, no_certificate, request_response):
    diag(part.__doc__)
    part(fleet)
fleet.done()
