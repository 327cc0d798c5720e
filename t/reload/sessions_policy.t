#!/usr/bin/python3
"""Allow lines edited under traffic, with 1, 2 and 4 workers: connections stay, what is now forbidden stops, what is now allowed
works without connecting again, and nobody else notices."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from fleet import Fleet, Publisher, Receiver, Traffic, until  # noqa: E402
from tap import diag, done, is_, like, lives, ok  # noqa: E402

HEALTH = 'allow controller subscribe "/health/#" '


class Scene:
    """A gateway under unconcerned traffic, a watcher on every worker, and two publishers whom they hear."""

    def __init__(self, workers):
        self.name = '%d workers: ' % workers if workers > 1 else '1 worker: '
        self.fleet = Fleet(workers=workers, name='sessions-policy')
        self.others = Traffic(self.fleet, publishers=2, subscribers=2, name='others')
        self.watchers = []
        for number in range(40):
            level = 5 if number % 2 else 4
            watcher = Receiver(self.fleet, 'w%d' % number, filter=['/health/#', '/ddos/#'], level=level)
            watcher.connect()
            self.watchers.append(watcher)
            homes = {self.fleet.worker_of(w.client) for w in self.watchers}
            if number >= 3 and (None in homes and number >= 15 or homes.issuperset(self.fleet.pids()['workers'])):
                break
        self.health = Publisher(self.fleet, 'health', topic='/health/drone', reconnect=False)
        self.ddos = Publisher(self.fleet, 'ddos', topic='/ddos/drone', reconnect=False)
        for publisher in (self.health, self.ddos):
            publisher.connect()
        for thread in self.watchers + [self.health, self.ddos]:
            thread.start()

    def hears(self, publisher, more=20):
        """Waits until every watcher has heard so many new messages, that were sent from now on."""
        mark = publisher._seq

        def heard():
            return all(len([n for n in list(w.got.get(publisher.name, []))[-more:] if n > mark]) >= more for w in self.watchers)
        until(heard, 'everybody hears %s: %r' % (publisher.name, [(w.name, w.lost, w.count(publisher.name)) for w in self.watchers]))

    def acknowledged(self, publisher, mark, more=30):
        """Waits until so many messages after `mark` have been answered."""
        until(lambda: len([n for n in list(publisher.acked)[-more:] if n > mark]) >= more, 'answers to ' + publisher.name)

    def nothing_lost(self, what):
        """No connection was closed so far."""
        is_([w.name for w in self.watchers + self.others.receivers if w.lost], [], self.name + what + ': every subscriber stayed connected')
        is_([p.name for p in [self.health, self.ddos] + self.others.publishers if p.losses], [],
            self.name + what + ': every publisher stayed connected')


def trimmed(scene):
    """A subscription is forbidden, then allowed again."""
    fleet = scene.fleet
    scene.hears(scene.health)
    scene.hears(scene.ddos)
    fleet.edit(HEALTH, 'allow controller subscribe ')
    diag(fleet.reload())
    mark = scene.health._seq
    scene.acknowledged(scene.health, mark)
    scene.hears(scene.ddos)
    late = {w.name: [n for n in w.got.get('health', []) if n > mark] for w in scene.watchers}
    is_({name: numbers for name, numbers in late.items() if numbers}, {},
        scene.name + 'a subscription that is now forbidden delivers nothing more after the reload')
    scene.nothing_lost('trimmed')
    client = fleet.client('controller', level=5)
    is_(client.subscribe('/health/#', check=False), [0x87], scene.name + 'a new subscription is refused')
    fleet.edit('allow controller subscribe ', HEALTH)
    fleet.reload()
    lives(scene.name + 'allowed again: heard again, without a reconnect', scene.hears, scene.health)
    is_(client.subscribe('/health/#', qos=1), [1], scene.name + 'and may be subscribed')
    scene.nothing_lost('allowed again')
    client.close()


def permitted(scene):
    """New permissions for a connection that was refused before."""
    fleet = scene.fleet
    clients = fleet.spread('controller', level=5)
    gcs = fleet.spread('gcs', level=5)
    for client, _ in clients:
        is_(client.subscribe('/rl/log', check=False), [0x87], scene.name + 'not yet allowed to subscribe')
    for client, _ in gcs:
        is_(client.publish('/rl/log', b'x', qos=1).reason, 0x87, scene.name + 'not yet allowed to publish')
    fleet.edit('allow gcs publish ', 'allow controller subscribe "/rl/#"; allow gcs publish "/rl/#" ')
    fleet.reload()
    for client, _ in clients:
        is_(client.subscribe('/rl/log', qos=1), [1], scene.name + 'now allowed to subscribe, on the same connection')
    for client, _ in gcs:
        is_(client.publish('/rl/log', b'x', qos=1).reason, 0, scene.name + 'now allowed to publish, on the same connection')
    for client, _ in clients:
        for _ in gcs:
            client.receive(topic='/rl/log', payload=b'x')
        client.expect_nothing()
    ok(True, scene.name + 'and it is delivered, across workers')
    fleet.edit('allow controller subscribe "/rl/#"; allow gcs publish "/rl/#" ', 'allow gcs publish ')
    fleet.reload()
    rule = None
    for client, _ in gcs:
        answer = client.publish('/rl/log', b'y', qos=1)
        is_(answer.reason, 0x87, scene.name + 'no longer allowed to publish')
        rule = answer.prop('reason_string')
    like(rule or '', r'sallyport\.conf:\d+', scene.name + 'the reason names a line')
    for client, _ in clients:
        client.expect_nothing()
        client.close()
    for client, _ in gcs:
        client.close()
    scene.nothing_lost('permitted')


def values(scene):
    """Values of the policy change for live sessions."""
    fleet = scene.fleet
    sub, pub = fleet.client('controller', level=5), fleet.client('drone', level=5)
    sub.subscribe('/load/v', qos=1)
    pub.publish('/load/v', b'1', qos=1)
    is_(sub.receive(topic='/load/v', payload=b'1').qos, 1, scene.name + 'QoS 1 before')
    fleet.edit('allow operator subscribe "/health/#"', 'topic "/load/v" { max_qos 0; max_payload 3; }\n    allow operator subscribe "/health/#"')
    fleet.reload()
    pub.publish('/load/v', b'2', qos=1)
    is_(sub.receive(topic='/load/v', payload=b'2').qos, 0, scene.name + 'QoS 0 after max_qos 0')
    answer = pub.publish('/load/v', b'1234', qos=1)
    ok(answer.reason >= 0x80, scene.name + 'max_payload holds for a live session')
    like(answer.prop('reason_string') or '', fleet.where('max_payload 3'), scene.name + 'and is named')
    sub.close()
    pub.close()


def many(scene):
    """A reload after another under traffic."""
    for _ in range(5):
        scene.fleet.edit('rate         off', 'rate         100000/s')
        scene.fleet.reload()
        scene.fleet.edit('rate         100000/s', 'rate         off')
        scene.fleet.reload()
    scene.hears(scene.ddos)
    scene.nothing_lost('ten reloads')


for workers in (1, 2, 4):
    scene = Scene(workers)
    for part in (trimmed, permitted, values, many):
        part(scene)
    missing = scene.others.finish()
    is_(missing, {}, scene.name + 'nothing of the unconcerned traffic was lost')
    is_([r.disorder() for r in scene.others.receivers if r.disorder()], [], scene.name + 'or disordered')
    is_(sum(r.repeats() for r in scene.others.receivers), 0, scene.name + 'or repeated')
    is_(sum(len(p.unsure) + len(p.refused) for p in scene.others.publishers), 0, scene.name + 'every publication was acknowledged')
    diag(scene.name + scene.others.describe())
    for thread in scene.watchers + [scene.health, scene.ddos]:
        thread.stop()
    for thread in scene.watchers + [scene.health, scene.ddos]:
        thread.join()
        thread.client.close()
    scene.fleet.stop()
done()
