#!/usr/bin/python3
"""kill -9 of the keeper under traffic, with 1, 2 and 4 workers: no client notices more than a delay, and what was acknowledged as
retained is there, from the next keeper and after a cold start."""

import os
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from fleet import WAIT_S, Fleet, Traffic, kill, until  # noqa: E402
from mqttraw import MqttError  # noqa: E402
from tap import diag, done, is_, ok  # noqa: E402


class Setter(threading.Thread):
    """Sets one retained message after another, QoS 1, and notes the last one that was acknowledged."""

    def __init__(self, fleet, topic):
        super().__init__(daemon=True)
        self.topic, self.acked, self.sent, self.error = topic, 0, 0, None
        self.client = fleet.client('controller')
        self._ending = threading.Event()

    def stop(self):
        """Ends it."""
        self._ending.set()
        self.join(WAIT_S * 2)

    def run(self):
        try:
            while not self._ending.is_set():
                self.sent += 1
                self.client.publish(self.topic, b'%d' % self.sent, qos=1, retain=True)
                self.acked = self.sent
        except (MqttError, OSError) as error:
            self.error = error


def kept(fleet):
    """What is retained below /policy/: {topic: number}."""
    with fleet.client('drone', level=5) as client:
        client.subscribe('/policy/#', qos=1)
        client.ping()
        found = {}
        while len(found) < 3:
            message = client.receive()
            found[message.topic] = int(message.payload)
        return found


def crash(workers):
    """The scene with so many workers."""
    name = '%d workers: ' % workers if workers > 1 else '1 worker: '
    fleet = Fleet(workers=workers, name='crash-keeper')
    traffic = Traffic(fleet, publishers=3, subscribers=3)
    setters = [Setter(fleet, '/policy/%d' % number) for number in range(3)]
    for setter in setters:
        setter.start()
    held = fleet.client('gcs', 'held-name', level=5)
    for nth in (1, 2, 3):
        step = '%skill %d: ' % (name, nth)
        traffic.flows(more=20)
        before = fleet.whole()
        marks = [setter.acked for setter in setters]
        kill(before['keeper'])
        with fleet.client('drone', level=5) as client:
            client.ping()
        ok(True, step + 'a client that comes meanwhile is served')
        after = fleet.whole()
        ok(after['keeper'] != before['keeper'] and after['workers'] == before['workers'] and after['master'] == before['master'],
           step + 'there is another keeper, the workers are the same')
        until(lambda: all(setter.acked > mark + 2 for setter, mark in zip(setters, marks)), 'retained messages are acknowledged again: %r' % [s.error for s in setters])
        traffic.flows(more=20)
        is_([p.losses for p in traffic.publishers] + [r.lost for r in traffic.receivers],
            [0] * len(traffic.publishers) + [None] * len(traffic.receivers), step + 'no connection was lost')
    taker = fleet.client('gcs', 'held-name', level=5)
    held.expect_closed(0x8E)
    ok(True, name + 'a client id that was held before is taken over by way of the new keeper')
    taker.ping()
    for setter in setters:
        setter.stop()
    is_([setter.error for setter in setters], [None] * 3, name + 'no setter was disturbed')
    is_(kept(fleet), {setter.topic: setter.acked for setter in setters}, name + 'the last acknowledged value is retained')

    kill(fleet.whole()['keeper'])
    is_(kept(fleet), {setter.topic: setter.acked for setter in setters}, name + 'and still is after the keeper was killed once more')
    is_(traffic.finish(), {}, name + 'nothing of the traffic was lost')
    is_(sum(r.repeats() for r in traffic.receivers), 0, name + 'or repeated')
    diag(name + traffic.describe())
    fleet.stop()
    fleet.start()
    is_(kept(fleet), {setter.topic: setter.acked for setter in setters}, name + 'and is after a stop and a start')
    fleet.stop()


for count in (1, 2, 4):
    crash(count)
done()
