#!/usr/bin/python3
"""The paho client, MQTT 3.1.1 and 5.0: what it negotiates, what it is told, what passes through."""

import os
import ssl
import sys
import threading
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
from fleet import Fleet, until  # noqa: E402
from tap import is_, like, ok, skip_all  # noqa: E402

warnings.simplefilter('ignore')
try:
    import paho.mqtt.client as mqtt
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
    from paho.mqtt.subscribeoptions import SubscribeOptions
except ImportError:
    skip_all('python3-paho-mqtt is not installed')


class Paho:
    """A paho client with its loop in a thread and its callbacks in lists."""

    def __init__(self, fleet, identity, client_id=None, v5=False, will=None, keepalive=60, properties=None):
        self.connected, self.ended, self.messages, self.acked, self.granted = [], [], [], [], {}
        self.v5 = v5
        kwargs = {'protocol': mqtt.MQTTv5 if v5 else mqtt.MQTTv311, 'client_id': client_id or ''}
        if hasattr(mqtt, 'CallbackAPIVersion'):
            kwargs['callback_api_version'] = mqtt.CallbackAPIVersion.VERSION1
        self.c = mqtt.Client(**kwargs)
        files = fleet.tls(identity)
        self.c.tls_set(files['cafile'], files['cert'], files['key'], tls_version=ssl.PROTOCOL_TLS_CLIENT)
        self.c.on_connect = lambda c, u, flags, code, props=None: self.connected.append((flags, code, props))
        self.c.on_disconnect = lambda c, u, code, props=None: self.ended.append((code, props))
        self.c.on_message = lambda c, u, message: self.messages.append(message)
        self.c.on_publish = lambda c, u, mid: self.acked.append(mid)
        self.c.on_subscribe = lambda c, u, mid, granted, props=None: self.granted.__setitem__(mid, (granted, props))
        if will:
            self.c.will_set(*will)
        self.pubacks = []
        if v5:
            handler = self.c._handle_pubackcomp
            def puback(kind):
                self.pubacks.append(bytes(self.c._in_packet['packet']))
                return handler(kind)
            self.c._handle_pubackcomp = puback
        extra = {'properties': properties} if v5 else {}
        self.c.connect('localhost', fleet.port, keepalive, **extra)
        self.c.loop_start()
        until(lambda: self.connected, 'CONNACK')

    def code(self):
        """The CONNACK's reason as a number."""
        reason = self.connected[0][1]
        return getattr(reason, 'value', reason)

    def subscribe(self, *args, **kwargs):
        """Subscribes; returns (granted as numbers, properties)."""
        _, mid = self.c.subscribe(*args, **kwargs)
        until(lambda: mid in self.granted, 'SUBACK')
        granted, props = self.granted[mid]
        return [getattr(item, 'value', item) for item in granted], props

    def publish(self, topic, payload, qos=1, **kwargs):
        """Publishes and waits until it is done."""
        info = self.c.publish(topic, payload, qos, **kwargs)
        until(lambda: info.mid in self.acked, 'the end of a publication')
        return info

    def wait(self, count):
        """Waits for so many messages and returns them as (topic, payload, qos, retain)."""
        until(lambda: len(self.messages) >= count, '%d messages, got %r' % (count, [(m.topic, m.payload) for m in self.messages]))
        return [(m.topic, m.payload.decode(), m.qos, bool(m.retain)) for m in self.messages]

    def vanish(self):
        """Closes the socket without a DISCONNECT."""
        self.c.on_disconnect = None
        self.c._sock_close() if hasattr(self.c, '_sock_close') else self.c.socket().close()
        self.c.loop_stop()

    def stop(self):
        """DISCONNECT, and the thread's end."""
        self.c.disconnect()
        self.c.loop_stop()


def properties(kind, **values):
    """paho's properties by keyword."""
    props = Properties(kind)
    for key, value in values.items():
        setattr(props, key, value)
    return props


def basics(fleet, v5):
    """Subscribe, publish, wildcards, QoS."""
    name = 'MQTT 5.0' if v5 else 'MQTT 3.1.1'
    sub = Paho(fleet, 'controller', v5=v5)
    is_(sub.code(), 0, name + ': connected')
    is_(sub.subscribe([('/health/+', 0), ('/ddos/#', 1), ('/rl/log', 1)])[0], [0, 1, 135 if v5 else 128], name + ': what is granted and refused')
    pub = Paho(fleet, 'drone', v5=v5)
    pub.publish('/health/drone', 'one', 1)
    pub.publish('/ddos/a/b', 'two', 1)
    pub.publish('/ddos/a/b', 'three', 0)
    pub.publish('/ddos', 'four', 1)
    got = sub.wait(4)
    is_(got, [('/health/drone', 'one', 0, False), ('/ddos/a/b', 'two', 1, False), ('/ddos/a/b', 'three', 0, False),
              ('/ddos', 'four', 1, False)], name + ': in order, with the lower QoS of the two')
    ok(all(a.timestamp <= b.timestamp for a, b in zip(sub.messages, sub.messages[1:])), name + ': in time')
    pub.stop()
    sub.stop()


def burst(fleet, v5):
    """A few hundred messages in a go, more than an inflight window holds."""
    name = 'MQTT 5.0' if v5 else 'MQTT 3.1.1'
    sub = Paho(fleet, 'controller', v5=v5)
    sub.subscribe('/load/#', 1)
    pub = Paho(fleet, 'drone', v5=v5)
    infos = [pub.c.publish('/load/burst', str(number), 1) for number in range(300)]
    until(lambda: len(pub.acked) >= len(infos), 'all acknowledged')
    is_([payload for _, payload, _, _ in sub.wait(300)], [str(number) for number in range(300)], name + ': 300 messages in order, once each')
    pub.stop()
    sub.stop()


def retained_and_will(fleet, v5):
    """Retained messages, wills, takeover."""
    name = 'MQTT 5.0' if v5 else 'MQTT 3.1.1'
    setter = Paho(fleet, 'controller', v5=v5)
    setter.publish('/policy/p', 'kept', 1, retain=True)
    late = Paho(fleet, 'drone', v5=v5)
    late.subscribe('/policy/+', 1)
    is_(late.wait(1), [('/policy/p', 'kept', 1, True)], name + ': a retained message')
    setter.publish('/policy/p', 'new', 1, retain=True)
    is_(late.wait(2)[1], ('/policy/p', 'new', 1, False), name + ': a live one is not marked as retained')
    setter.publish('/policy/p', b'', 1, retain=True)
    is_(late.wait(3)[2], ('/policy/p', '', 1, False), name + ': so is the one that deletes it')

    watch = Paho(fleet, 'gcs', v5=v5)
    watch.subscribe('/will/#', 1)
    gone = Paho(fleet, 'drone', v5=v5, will=('/will/paho', 'gone', 1, False))
    gone.vanish()
    is_(watch.wait(1), [('/will/paho', 'gone', 1, False)], name + ': a will')
    first = Paho(fleet, 'drone', 'the-same', v5=v5, will=('/will/taken', 'taken over', 1, False))
    first.c.reconnect_delay_set(60, 120)
    second = Paho(fleet, 'drone', 'the-same', v5=v5)
    until(lambda: first.ended, 'the end of the first of two connections with one client id')
    is_(second.code(), 0, name + ': the second one is served')
    is_(watch.wait(2)[1][:2], ('/will/taken', 'taken over'), name + ': and the first one\'s will published')
    if v5:
        is_(getattr(first.ended[0][0], 'value', first.ended[0][0]), 0x8E, name + ': it was told: session taken over')
    for one in (setter, late, watch, first, second):
        one.stop()


def keepalive(fleet, v5):
    """An idle client with a short keep alive stays."""
    name = 'MQTT 5.0' if v5 else 'MQTT 3.1.1'
    idle = Paho(fleet, 'controller', v5=v5, keepalive=2)
    idle.subscribe('/load/#', 1)
    event = threading.Event()
    pongs = []
    handler = idle.c._handle_pingresp
    def pong():
        pongs.append(1)
        event.set()
        return handler()
    idle.c._handle_pingresp = pong
    until(lambda: len(pongs) >= 2, 'two PINGRESPs')
    is_((idle.ended, len(idle.connected)), ([], 1), name + ': an idle client stays connected by its pings')
    idle.stop()


def version5(fleet):
    """What only MQTT 5.0 has."""
    sub = Paho(fleet, 'controller', v5=True)
    _, _, told = sub.connected[0]
    is_(getattr(told, 'MaximumQoS', None), 1, 'CONNACK: maximum QoS 1')
    ok(bool(getattr(told, 'AssignedClientIdentifier', '')), 'CONNACK: an assigned client identifier')
    is_(getattr(told, 'SharedSubscriptionAvailable', 1), 0, 'CONNACK: no shared subscriptions')
    sub.c.subscribe([('/load/x', SubscribeOptions(qos=1))], properties=properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=7))
    until(lambda: sub.granted, 'SUBACK')
    granted, why = sub.subscribe([('/rl/log', SubscribeOptions(qos=1))])
    is_(granted, [0x87], 'a forbidden filter is refused as not authorized')
    like(str(getattr(why, 'ReasonString', '')), r'sallyport\.conf:\d+', 'with a reason that names the line')
    pub = Paho(fleet, 'drone', v5=True)
    pub.publish('/load/x', 'p', 1, properties=properties(
        PacketTypes.PUBLISH, ContentType='text/plain', ResponseTopic='/load/back', CorrelationData=b'\x00\x01', MessageExpiryInterval=100,
        PayloadFormatIndicator=1, UserProperty=[('a', '1'), ('a', '2'), ('b', '3')]))
    sub.wait(1)
    props = sub.messages[0].properties
    is_((props.ContentType, props.ResponseTopic, props.CorrelationData, props.PayloadFormatIndicator),
        ('text/plain', '/load/back', b'\x00\x01', 1), 'properties pass through')
    is_(props.UserProperty, [('a', '1'), ('a', '2'), ('b', '3')], 'user properties, too, in order')
    ok(90 <= props.MessageExpiryInterval <= 100, 'the expiry interval counts down')
    is_(props.SubscriptionIdentifier, [7], 'with the subscription identifier')

    own = Paho(fleet, 'controller', v5=True)
    own.subscribe([('/load/own', SubscribeOptions(qos=1, noLocal=True))])
    own.publish('/load/own', 'mine', 1)
    pub.publish('/load/own', 'another\'s', 1)
    is_([m[1] for m in own.wait(1)], ['another\'s'], 'no local')

    sub.publish('/policy/r', 'kept', 1, retain=True)
    for handling, retain_as, count in ((0, True, 1), (2, True, 0)):
        late = Paho(fleet, 'controller', v5=True)
        late.subscribe([('/policy/r', SubscribeOptions(qos=1, retainAsPublished=retain_as, retainHandling=handling))])
        sub.publish('/policy/r', 'live', 1, retain=True)
        got = late.wait(count + 1)
        is_((len(got), got[-1]), (count + 1, ('/policy/r', 'live', 1, True)), 'retain handling %d, retain as published' % handling)
        late.stop()

    done = pub.c.publish('/rl/log', 'x', 1)
    until(lambda: pub.pubacks and done.mid in pub.acked, 'PUBACK')
    raw = pub.pubacks[-1]
    is_(raw[2], 0x87, 'a forbidden publication: PUBACK not authorized')
    like(raw[4:].decode('latin-1'), r'sallyport\.conf:\d+', 'with a reason that names the line')
    for one in (sub, pub, own):
        one.stop()


fleet = Fleet(name='paho')
for v5 in (False, True):
    for part in (basics, burst, retained_and_will, keepalive):
        part(fleet, v5)
version5(fleet)
fleet.done()
