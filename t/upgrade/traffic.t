#!/usr/bin/python3
"""The binary is replaced under traffic (sallyport -s upgrade, USR2), with 1, 2 and 4 workers: not one connection is refused, the old
sessions are told and come back, and an upgrade that fails leaves everything as it was."""

import os
import signal
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from fleet import WAIT_S, Fleet, Traffic, alive, until  # noqa: E402
from mqttraw import Client, MqttError, tls_context  # noqa: E402
from tap import diag, done, is_, ok  # noqa: E402


class Knocker(threading.Thread):
    """Connects, over and over, as far as a CONNACK."""

    def __init__(self, fleet, name):
        super().__init__(daemon=True)
        self.fleet, self.name = fleet, name
        self.count, self.failed = 0, []
        self.context = tls_context(**fleet.tls('gcs'))
        self._ending = threading.Event()

    def stop(self):
        """Ends it."""
        self._ending.set()
        self.join(WAIT_S)

    def run(self):
        while not self._ending.is_set():
            stage = 'TCP'
            try:
                with Client(self.fleet.port, timeout=WAIT_S, level=5) as client:
                    stage = 'TLS'
                    client.sock = self.context.wrap_socket(client.sock)
                    stage = 'CONNECT'
                    client.connect('%s-%d' % (self.name, self.count))
                    stage = 'DISCONNECT'
                    client.disconnect()
            except (MqttError, OSError) as error:
                self.failed.append((self.count, stage, time.monotonic(), repr(error)))
            self.count += 1


def replaced(fleet, before):
    """Waits until another master serves and the old processes are gone; returns the new pids."""
    def other():
        try:
            found = fleet.pids()
        except (AssertionError, ValueError, KeyError, OSError):
            return None
        return found if found['master'] != before['master'] and len([p for p in found['workers'] if p]) == fleet.workers else None
    found = until(other, 'another master')
    old = [before['master'], before['keeper'], *before['workers']]
    until(lambda: not any(alive(pid) for pid in old), 'the end of the old processes', 90)
    return found


def upgrade(fleet, how, name):
    """One upgrade under traffic."""
    traffic = Traffic(fleet, publishers=3, subscribers=3, level=5, name=how)
    knockers = [Knocker(fleet, 'k%d-%s' % (number, how)) for number in range(3)]
    for knocker in knockers:
        knocker.start()
    idle = fleet.spread('controller', level=5) + fleet.spread('controller', level=4)
    traffic.flows()
    before = fleet.whole()
    counts = [knocker.count for knocker in knockers]
    if how == 'command':
        result = fleet.command('-s', 'upgrade')
        is_(result.returncode, 0, name + '-s upgrade ends with 0')
        diag(result.stdout + result.stderr)
    else:
        os.kill(before['master'], signal.SIGUSR2)
    after = replaced(fleet, before)
    ok(True, name + 'another master serves, of the old processes none is left')
    ok(not set(after['workers'] + [after['keeper']]) & set(before['workers'] + [before['keeper']]), name + 'through new processes')
    with open(fleet.path('data/sallyport.pid'), encoding='ascii') as file:
        is_(int(file.read()), after['master'], name + 'the pid file names the new master')
    told = []
    for client, _ in idle:
        try:
            last = client.expect_closed()
            told.append(None if client.level == 4 else last and last.reason)
        except MqttError as error:
            told.append(str(error))
    is_([reason for reason in told if reason not in (None, 0x8B, 0x8D, 0x9C, 0x9D)], [],
        name + 'idle sessions were closed, those of MQTT 5 with a word (server shutting down, or use another)')
    until(lambda: all(r.lost for r in traffic.receivers), 'the end of the old subscribers')
    until(lambda: all(knocker.count > count + 20 for knocker, count in zip(knockers, counts)), 'connections throughout')
    for knocker in knockers:
        knocker.stop()
    is_([failed for knocker in knockers for failed in knocker.failed], [],
        name + 'of %d connections none was refused' % sum(knocker.count for knocker in knockers))
    fresh = Traffic(fleet, publishers=2, subscribers=2, name='fresh-' + how)
    fresh.flows()
    until(lambda: all(p.losses <= 1 for p in traffic.publishers), 'publishers are back')
    is_([p.losses for p in traffic.publishers if p.losses > 1], [], name + 'every publisher had to come back once at most')
    is_(fresh.finish(), {}, name + 'and traffic flows')
    traffic.finish(receivers=[])
    diag(name + traffic.describe())


for workers in (1, 2, 4):
    name = '%d workers: ' % workers if workers > 1 else '1 worker: '
    fleet = Fleet(workers=workers, name='upgrade')
    with fleet.client('controller') as client:
        client.publish('/policy/u', b'kept', qos=1, retain=True)
    if workers != 4:
        upgrade(fleet, 'command', name + '-s upgrade: ')
    if workers != 1:
        upgrade(fleet, 'signal', name + 'USR2: ')
    with fleet.client('drone', level=5) as late:
        late.subscribe('/policy/#', qos=1)
        late.receive(topic='/policy/u', payload=b'kept')
    ok(True, name + 'retained messages are there')
    fleet.edit('allow gcs publish ', 'allow gcs publish "/ddos/gcs" ')
    fleet.reload()
    with fleet.client('gcs', level=5) as gcs:
        ok(gcs.publish('/ddos/gcs', b'x', qos=1).reason < 0x80, name + 'and it reloads as ever')
    good = fleet.conf
    fleet.write('conf/sallyport.conf', good + '\nbroken {\n')
    before = fleet.whole()
    result = fleet.command('-s', 'upgrade')
    ok(result.returncode != 0, name + 'an upgrade to a broken configuration is refused')
    diag(result.stdout + result.stderr)
    is_(fleet.whole(), before, name + 'and the old processes serve on')
    ok(fleet.serves(), name + 'as before')
    fleet.write('conf/sallyport.conf', good)
    fleet.stop()
done()
