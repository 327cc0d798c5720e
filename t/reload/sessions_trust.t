#!/usr/bin/python3
"""The CRL and the CA are replaced under traffic, with 1, 2 and 4 workers: exactly the sessions concerned are closed."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from fleet import Fleet, Receiver, Traffic, until  # noqa: E402
from mqttraw import Client, MqttError, tls_context  # noqa: E402
from tap import diag, done, is_, like, ok  # noqa: E402


def refused(fleet, context):
    """Whether a client with this TLS context gets no CONNACK 0. TLS 1.3: the client learns of it with its first read."""
    try:
        with Client(fleet.port, context=context, timeout=30) as client:
            client.connect('refused?')
    except (MqttError, OSError):
        return True
    return False


def closed(client, name, level):
    """Waits for the end of a session."""
    try:
        last = client.expect_closed()
    except MqttError as error:
        ok(False, name)
        diag(error)
        return
    ok(True, name)
    if level == 5:
        ok(last is not None and last.reason >= 0x80, name + ', and was told why') or diag(last)
        diag('%r' % last)


def revocation(fleet, name):
    """One identity is revoked."""
    traffic = Traffic(fleet, publishers=2, subscribers=2)  # drones and controllers
    gcs = fleet.spread('gcs', level=5) + fleet.spread('gcs', level=4)
    for client, _ in gcs:
        client.subscribe('/load/#', qos=0)
        client.unsubscribe('/load/#')
        client.inbox.clear()
    context = tls_context(**fleet.tls('gcs'))
    with Client(fleet.port, context=context, timeout=30) as first:
        first.connect('ticket')
        first.ping()
        session = first.sock.session
    serial = fleet.pki('list', '--json')
    fleet.pki('revoke', 'gcs')
    for client, _ in gcs:
        client.ping()
    ok(True, name + 'revoked, not yet reloaded: nothing happens')
    diag(fleet.reload())
    for client, _ in gcs:
        closed(client, name + 'a session with the revoked certificate is closed', client.level)
    ok(refused(fleet, tls_context(**fleet.tls('gcs'))), name + 'a new one is refused')
    if session is not None:
        try:
            with Client(fleet.port, timeout=30) as plain:
                plain.sock = context.wrap_socket(plain.sock, session=session)
                plain.connect('resumed')
                ok(False, name + 'a session ticket does not help')
        except (MqttError, OSError, ValueError):
            ok(True, name + 'a session ticket does not help')
    like(fleet.log(), r'revoked.*CN ?= ?gcs', name + 'the log names the subject')
    like(fleet.log(), r'(?i)revoked.*serial[ =:]*[0-9a-f:]{4,}', name + 'and the serial')
    diag(serial[:200])
    traffic.flows()
    is_([p.losses for p in traffic.publishers] + [r.lost for r in traffic.receivers],
        [0] * len(traffic.publishers) + [None] * len(traffic.receivers), name + 'nobody else lost a connection')
    is_(traffic.finish(), {}, name + 'or a message')
    fleet.pki('issue', 'gcs')
    with fleet.client('gcs', level=5) as again:
        again.ping()
    ok(True, name + 'with a new certificate gcs is back')


def replacement(fleet, name):
    """The CA is replaced: first both are believed, then the new one only."""
    fleet.pki('demo', '--dir', 'next')
    old = fleet.read('pki/ca.crt'), fleet.read('pki/ca.crl')
    new = fleet.read('next/ca.crt'), fleet.read('next/ca.crl')
    before = fleet.spread('controller', level=5) + fleet.spread('drone', level=4)
    foreign = tls_context(fleet.path('pki/ca.crt'), fleet.path('next/drone.crt'), fleet.path('next/drone.key'))
    ok(refused(fleet, foreign), name + 'a certificate of an unknown CA is refused')
    fleet.write('pki/both.crt', old[0] + new[0])
    fleet.write('pki/both.crl', old[1] + new[1])
    fleet.edit('ca           pki/ca.crt', 'ca           pki/both.crt')
    fleet.edit('crl          pki/ca.crl', 'crl          pki/both.crl')
    fleet.reload()
    for client, _ in before:
        client.ping()
    ok(True, name + 'another CA is added: every session stays')
    fresh = []
    for number in range(8 * fleet.workers):
        client = Client(fleet.port, level=5, context=foreign, timeout=30)
        client.connect('fresh-%d' % number)
        fresh.append(client)
    ok(True, name + 'and its certificates are taken')
    watcher = Receiver(fleet, 'watcher')
    watcher.connect()
    watcher.start()
    fresh[0].publish('/load/x', 'fresh 1', qos=1)
    until(lambda: watcher.count(), 'a message across')

    fleet.edit('ca           pki/both.crt', 'ca           next/ca.crt')
    fleet.edit('crl          pki/both.crl', 'crl          next/ca.crl')
    fleet.edit('certificate  pki/gateway.crt', 'certificate  next/gateway.crt')
    fleet.edit('key          pki/gateway.key', 'key          next/gateway.key')
    fleet.reload()
    for client, _ in before:
        closed(client, name + 'the old CA is gone: a session that it vouched for is closed', client.level)
    until(lambda: watcher.lost, 'the end of the watcher')
    for client in fresh:
        client.ping()
    ok(True, name + 'those of the new CA stay')
    now = {'cafile': fleet.path('next/ca.crt'), 'cert': fleet.path('next/controller.crt'), 'key': fleet.path('next/controller.key')}
    with Client(fleet.port, level=5, timeout=30, **now) as client:
        client.connect('now')
        client.subscribe('/load/#', qos=1)
        fresh[-1].publish('/load/y', b'y', qos=1)
        client.receive(topic='/load/y', payload=b'y')
    ok(True, name + 'and are served, the gateway showing its new certificate')
    ok(refused(fleet, tls_context(fleet.path('next/ca.crt'), fleet.path('pki/drone.crt'), fleet.path('pki/drone.key'))),
       name + 'the old certificates are refused')
    for client in fresh:
        client.close()
    watcher.stop()
    watcher.join()


for workers in (1, 2, 4):
    name = '%d workers: ' % workers if workers > 1 else '1 worker: '
    fleet = Fleet(workers=workers, name='trust')
    revocation(fleet, name)
    replacement(fleet, name)
    fleet.stop()
done()
