"""MQTT on the wire, for tests: builds any packet, also wrong ones, and reads what comes back, always with a deadline.

    from mqttraw import Client, connect, publish

    c = Client(port, cert='drone.crt', key='drone.key', cafile='ca.crt', level=5)   # TLS; plain TCP without cafile
    c.connect('drone-1')                       # sends CONNECT, returns the CONNACK, raises if it is refused
    c.subscribe('/algo/#', qos=1)              # returns the reasons
    c.publish('/health/drone', b'{}', qos=1)   # waits for the PUBACK, returns it
    p = c.expect('PUBLISH', topic='/algo/ack', payload=b'x')
    c.expect_nothing()                         # a PINGREQ/PINGRESP barrier, no sleeping
    c.send(b'\\x30\\xff\\xff\\xff\\xff\\x7f')  # any bytes
    c.expect_closed(reason=0x81)               # level 5: after a DISCONNECT with this reason

Levels: 3 = MQTT 3.1, 4 = 3.1.1, 5 = 5.0. Properties are lists of (id or name, value), or bytes to be sent as they are, the length
in front included. Failures raise MqttError (an AssertionError), deadlines MqttTimeout.
"""

import socket
import ssl
import struct
import time

TYPES = ['RESERVED', 'CONNECT', 'CONNACK', 'PUBLISH', 'PUBACK', 'PUBREC', 'PUBREL', 'PUBCOMP', 'SUBSCRIBE', 'SUBACK',
         'UNSUBSCRIBE', 'UNSUBACK', 'PINGREQ', 'PINGRESP', 'DISCONNECT', 'AUTH']
TYPE = {name: number for number, name in enumerate(TYPES)}

# name: (id, kind)
PROPERTIES = {
    'payload_format': (0x01, 'byte'), 'message_expiry': (0x02, 'four'), 'content_type': (0x03, 'string'),
    'response_topic': (0x08, 'string'), 'correlation_data': (0x09, 'binary'), 'subscription_id': (0x0B, 'varint'),
    'session_expiry': (0x11, 'four'), 'assigned_client_id': (0x12, 'string'), 'server_keep_alive': (0x13, 'two'),
    'auth_method': (0x15, 'string'), 'auth_data': (0x16, 'binary'), 'request_problem_info': (0x17, 'byte'),
    'will_delay': (0x18, 'four'), 'request_response_info': (0x19, 'byte'), 'response_info': (0x1A, 'string'),
    'server_reference': (0x1C, 'string'), 'reason_string': (0x1F, 'string'), 'receive_maximum': (0x21, 'two'),
    'topic_alias_maximum': (0x22, 'two'), 'topic_alias': (0x23, 'two'), 'maximum_qos': (0x24, 'byte'),
    'retain_available': (0x25, 'byte'), 'user_property': (0x26, 'pair'), 'maximum_packet_size': (0x27, 'four'),
    'wildcard_available': (0x28, 'byte'), 'subscription_ids_available': (0x29, 'byte'), 'shared_available': (0x2A, 'byte'),
}
PROPERTY_NAMES = {number: name for name, (number, _) in PROPERTIES.items()}


class MqttError(AssertionError):
    """The peer did something else than the test expects."""


class MqttTimeout(MqttError):
    """The deadline passed."""


class MqttClosed(MqttError):
    """The peer closed the connection."""


# ---- building ----

def varint(number, width=0):
    """A variable byte integer; `width` pads it to more bytes than needed, which the standard forbids."""
    out = bytearray()
    while True:
        number, digit = number >> 7, number & 0x7F
        more = number > 0 or len(out) + 1 < width
        out.append(digit | (0x80 if more else 0))
        if not more:
            return bytes(out)


def raw(value):
    """str as UTF-8 (surrogates as they are, to send what is forbidden), bytes unchanged."""
    return value.encode('utf-8', 'surrogatepass') if isinstance(value, str) else bytes(value)


def string(value):
    """Two bytes of length, then the bytes."""
    data = raw(value)
    return struct.pack('>H', len(data)) + data


def prop(name, value):
    """One property. `name`: a key of PROPERTIES or a number; for an unknown number, value is sent as bytes."""
    number = PROPERTIES[name][0] if isinstance(name, str) else name
    kind = PROPERTIES[PROPERTY_NAMES[number]][1] if number in PROPERTY_NAMES else 'bytes'
    if kind == 'byte':
        return varint(number) + struct.pack('>B', value)
    if kind == 'two':
        return varint(number) + struct.pack('>H', value)
    if kind == 'four':
        return varint(number) + struct.pack('>I', value)
    if kind == 'varint':
        return varint(number) + varint(value)
    if kind in ('string', 'binary'):
        return varint(number) + string(value)
    if kind == 'pair':
        return varint(number) + string(value[0]) + string(value[1])
    return varint(number) + raw(value)


def properties(items):
    """A property list with its length. None is the empty list; bytes go out as they are."""
    if isinstance(items, (bytes, bytearray)):
        return bytes(items)
    pairs = items.items() if isinstance(items, dict) else (items or [])
    body = b''.join(prop(name, value) for name, value in pairs)
    return varint(len(body)) + body


def packet(kind, body=b'', flags=0, length=None):
    """Any packet. kind: name or number. length: a remaining length that is not len(body), or bytes for it."""
    number = TYPE[kind] if isinstance(kind, str) else kind
    if length is None:
        length = len(body)
    if isinstance(length, int):
        length = varint(length)
    return bytes([(number << 4 | flags) & 0xFF]) + length + body


def connect(client_id='', level=4, clean=True, keepalive=60, user=None, password=None, will=None, props=None,
            flags=None, name=None, level_byte=None):
    """CONNECT. will: dict with topic, payload, qos, retain, props. flags, name, level_byte override what follows from the rest."""
    bits = 0x02 if clean else 0
    payload = string(client_id)
    if will is not None:
        bits |= 0x04 | will.get('qos', 0) << 3 | (0x20 if will.get('retain') else 0)
        if level == 5:
            payload += properties(will.get('props'))
        payload += string(will.get('topic', 'will')) + string(will.get('payload', b''))
    if user is not None:
        bits |= 0x80
        payload += string(user)
    if password is not None:
        bits |= 0x40
        payload += string(password)
    if name is None:
        name = 'MQIsdp' if level == 3 else 'MQTT'
    head = string(name) + bytes([level if level_byte is None else level_byte, bits if flags is None else flags])
    head += struct.pack('>H', keepalive)
    if level == 5:
        head += properties(props)
    return packet('CONNECT', head + payload)


def publish(topic, payload=b'', qos=0, retain=False, dup=False, packet_id=1, props=None, level=4):
    """PUBLISH. A packet id is sent with QoS 1 and above."""
    body = string(topic)
    if qos > 0:
        body += struct.pack('>H', packet_id)
    if level == 5:
        body += properties(props)
    return packet('PUBLISH', body + raw(payload), qos << 1 | (1 if retain else 0) | (8 if dup else 0))


def ack(kind, packet_id, reason=None, props=None):
    """PUBACK, PUBREC, PUBREL, PUBCOMP. reason and props are left out when None."""
    body = struct.pack('>H', packet_id)
    if reason is not None or props is not None:
        body += bytes([reason or 0])
    if props is not None:
        body += properties(props)
    return packet(kind, body, 2 if kind == 'PUBREL' else 0)


def subscribe(filters, packet_id=1, props=None, level=4):
    """SUBSCRIBE. filters: list of (filter, options byte)."""
    body = struct.pack('>H', packet_id) + (properties(props) if level == 5 else b'')
    for text, options in filters:
        body += string(text) + bytes([options])
    return packet('SUBSCRIBE', body, 2)


def unsubscribe(filters, packet_id=1, props=None, level=4):
    """UNSUBSCRIBE. filters: list of str or bytes."""
    body = struct.pack('>H', packet_id) + (properties(props) if level == 5 else b'')
    return packet('UNSUBSCRIBE', body + b''.join(string(text) for text in filters), 2)


def pingreq():
    """PINGREQ."""
    return packet('PINGREQ')


def disconnect(reason=None, props=None):
    """DISCONNECT; the two bytes of 3.1.1 when both are None."""
    body = b'' if reason is None and props is None else bytes([reason or 0])
    if props is not None:
        body += properties(props)
    return packet('DISCONNECT', body)


def auth(reason=None, props=None):
    """AUTH."""
    body = b'' if reason is None and props is None else bytes([reason or 0])
    if props is not None:
        body += properties(props)
    return packet('AUTH', body)


def options(qos=0, no_local=False, retain_as_published=False, retain_handling=0):
    """The subscription options byte."""
    return qos | (4 if no_local else 0) | (8 if retain_as_published else 0) | retain_handling << 4


# ---- reading ----

class Packet:
    """A received packet. Always: type (name), flags, body, raw. By type: reason, reasons, session_present, packet_id, topic,
    payload, qos, retain, dup, props (list of (name, value)); None where a type has none."""

    def __init__(self, first, body, head, level):
        self.type = TYPES[first >> 4]
        self.flags = first & 15
        self.body = body
        self.raw = head + body
        self.level = level
        self.reason = self.reasons = self.session_present = self.packet_id = None
        self.topic = self.payload = self.qos = self.retain = self.dup = None
        self.props = []
        self._at = 0
        self._parse()

    def _take(self, count):
        if self._at + count > len(self.body):
            raise MqttError('short %s: %s' % (self.type, self.raw.hex()))
        part = self.body[self._at:self._at + count]
        self._at += count
        return part

    def _two(self):
        return struct.unpack('>H', self._take(2))[0]

    def _string(self):
        return self._take(self._two())

    def _varint(self):
        value = shift = 0
        while True:
            byte = self._take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
            if shift > 21:
                raise MqttError('variable byte integer too long in %s' % self.raw.hex())

    def _properties(self):
        end = self._varint() + self._at
        if end > len(self.body):
            raise MqttError('properties overrun in %s' % self.raw.hex())
        while self._at < end:
            number = self._varint()
            if number not in PROPERTY_NAMES:
                raise MqttError('unknown property 0x%02x in %s' % (number, self.raw.hex()))
            name = PROPERTY_NAMES[number]
            kind = PROPERTIES[name][1]
            if kind == 'byte':
                value = self._take(1)[0]
            elif kind == 'two':
                value = self._two()
            elif kind == 'four':
                value = struct.unpack('>I', self._take(4))[0]
            elif kind == 'varint':
                value = self._varint()
            elif kind == 'pair':
                value = (self._string().decode('utf-8'), self._string().decode('utf-8'))
            else:
                value = self._string()
                value = value.decode('utf-8') if kind == 'string' else value
            self.props.append((name, value))
        if self._at != end:
            raise MqttError('property beyond its list in %s' % self.raw.hex())

    def _parse(self):
        v5 = self.level == 5
        if self.type == 'CONNACK':
            self.session_present = bool(self._take(1)[0] & 1)
            self.reason = self._take(1)[0]
            if v5 and self._at < len(self.body):
                self._properties()
        elif self.type == 'PUBLISH':
            self.qos, self.retain, self.dup = self.flags >> 1 & 3, bool(self.flags & 1), bool(self.flags & 8)
            self.topic = self._string().decode('utf-8')
            if self.qos:
                self.packet_id = self._two()
            if v5:
                self._properties()
            self.payload = self._take(len(self.body) - self._at)
        elif self.type in ('PUBACK', 'PUBREC', 'PUBREL', 'PUBCOMP', 'DISCONNECT', 'AUTH'):
            if self.type.startswith('PUB'):
                self.packet_id = self._two()
            self.reason = self._take(1)[0] if v5 and self._at < len(self.body) else 0
            if v5 and self._at < len(self.body):
                self._properties()
        elif self.type in ('SUBACK', 'UNSUBACK'):
            self.packet_id = self._two()
            if v5:
                self._properties()
            self.reasons = list(self._take(len(self.body) - self._at))
        if self._at != len(self.body) and self.type != 'CONNECT':
            raise MqttError('trailing bytes in %s: %s' % (self.type, self.raw.hex()))

    def prop(self, name, default=None):
        """The value of the first such property."""
        return next((value for key, value in self.props if key == name), default)

    def prop_all(self, name):
        """The values of all such properties, in order."""
        return [value for key, value in self.props if key == name]

    def __repr__(self):
        parts = [self.type]
        for key in ('reason', 'reasons', 'session_present', 'packet_id', 'topic', 'payload', 'qos', 'retain', 'dup'):
            value = getattr(self, key)
            if value is not None:
                parts.append('%s=%s' % (key, repr(value)[:200] if key != 'reason' else '0x%02x' % value))
        if self.props:
            parts.append('props=' + repr(self.props)[:400])
        return '<' + ' '.join(parts) + '>'


def tls_context(cafile=None, cert=None, key=None, minimum=ssl.TLSVersion.TLSv1_3):
    """A client context: the server's certificate is verified against cafile (not at all when None), its name is not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = minimum
    context.check_hostname = False
    if cafile is None:
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(cafile)
    if cert is not None:
        context.load_cert_chain(cert, key)
    return context


class Client:
    """One connection. TLS when `context` or `cafile` or `cert` is given. Everything waits at most `timeout` seconds.
    path: a Unix socket instead of host and port."""

    def __init__(self, port=None, host='127.0.0.1', level=4, cert=None, key=None, cafile=None, context=None, timeout=10,
                 server_name=None, path=None, rcvbuf=None):
        self.level = level
        self.timeout = timeout
        self.inbox = []      # packets read while waiting for something else, in order
        self.closed = False  # the peer closed
        self._buffer = bytearray()
        self._next_id = 0
        self.connack = None
        family = socket.AF_UNIX if path else (socket.AF_INET6 if ':' in host else socket.AF_INET)
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            if rcvbuf:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
            self.sock.settimeout(timeout)
            self.sock.connect(path if path else (host, port))
            if not path:
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is None and (cafile or cert):
                context = tls_context(cafile, cert, key)
            if context is not None:
                self.sock = context.wrap_socket(self.sock, server_hostname=server_name)
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Closes without a DISCONNECT (a server then publishes the will)."""
        self.sock.close()

    def abort(self):
        """Closes with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.sock.close()

    # -- bytes and packets --

    def send(self, *chunks):
        """Sends bytes as they are. A peer that closed already is noticed by the next read, not here."""
        self.sock.settimeout(self.timeout)
        try:
            self.sock.sendall(b''.join(chunks))
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass
        except (TimeoutError, socket.timeout) as error:
            raise MqttTimeout('the peer does not read') from error

    def next_id(self):
        """A packet id, 1..65535 in turn."""
        self._next_id = self._next_id % 65535 + 1
        return self._next_id

    def _frame(self):
        size = shift = 0
        for at in range(1, 6):
            if at >= len(self._buffer):
                return None
            if at == 5:
                raise MqttError('remaining length too long: %s' % bytes(self._buffer[:5]).hex())
            byte = self._buffer[at]
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        end = at + 1 + size
        if len(self._buffer) < end:
            return None
        whole = bytes(self._buffer[:end])
        del self._buffer[:end]
        return Packet(whole[0], whole[at + 1:], whole[:at + 1], self.level)

    def _fill(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise MqttTimeout('nothing came')
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(65536)
        except (TimeoutError, socket.timeout) as error:
            raise MqttTimeout('nothing came within the deadline; buffered: %s' % bytes(self._buffer[:64]).hex()) from error
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError) as error:
            self.closed = True
            raise MqttClosed('connection closed by the peer: %s' % error) from error
        if not data:
            self.closed = True
            raise MqttClosed('connection closed by the peer')
        self._buffer += data

    def _read_new(self, deadline):
        while True:
            found = self._frame()
            if found is not None:
                return found
            self._fill(deadline)

    def read(self, timeout=None):
        """The next packet. Raises MqttTimeout or MqttClosed."""
        if self.inbox:
            return self.inbox.pop(0)
        return self._read_new(time.monotonic() + (self.timeout if timeout is None else timeout))

    def wait_for(self, kind, timeout=None, **fields):
        """The next packet of this kind (and fields); others that come before it stay in order for read() and expect()."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        for at, found in enumerate(self.inbox):
            if _matches(found, kind, fields):
                return self.inbox.pop(at)
        while True:
            found = self._read_new(deadline)
            if _matches(found, kind, fields):
                return found
            self.inbox.append(found)

    # -- expectations --

    def expect(self, kind, timeout=None, **fields):
        """The next packet must be of this kind and have these fields."""
        found = self.read(timeout)
        if not _matches(found, kind, fields):
            raise MqttError('expected %s %s, got %r' % (kind, fields or '', found))
        return found

    def expect_closed(self, reason=None, timeout=None):
        """The peer closes. With `reason`: after exactly one DISCONNECT (level 5) or CONNACK with it; without: after at
        most a DISCONNECT or a refusing CONNACK. Returns the last packet or None."""
        last = None
        while True:
            try:
                found = self.read(timeout)
            except MqttClosed:
                break
            if found.type not in ('DISCONNECT', 'CONNACK') or last is not None or (found.type == 'CONNACK' and not found.reason):
                raise MqttError('expected a close, got %r' % found)
            last = found
        if reason is not None and (last is None or last.reason != reason):
            raise MqttError('expected a close with reason 0x%02x, got %r' % (reason, last))
        return last

    def expect_nothing(self):
        """Nothing but the PINGRESP came up to a PINGREQ sent now. The barrier holds for what the server had already sent or
        handled; let the cause (a publisher's PUBACK, a reload's exit) be over before."""
        self.ping()
        if self.inbox:
            raise MqttError('expected nothing, got %r' % self.inbox)

    def ping(self):
        """PINGREQ, waits for PINGRESP."""
        self.send(pingreq())
        return self.wait_for('PINGRESP')

    # -- the usual exchanges --

    def connect(self, client_id='', reason=0, **kwargs):
        """CONNECT and its CONNACK, which must have this reason (None: any). kwargs: those of connect()."""
        self.send(connect(client_id, level=self.level, **kwargs))
        self.connack = self.read()
        if self.connack.type != 'CONNACK' or (reason is not None and self.connack.reason != reason):
            raise MqttError('expected CONNACK%s, got %r' % ('' if reason is None else ' 0x%02x' % reason, self.connack))
        return self.connack

    def subscribe(self, *filters, qos=0, props=None, check=True, **option_args):
        """SUBSCRIBE to filters (str or (str, options byte)), waits for SUBACK, returns its reasons; with check, a refusal
        raises. option_args: those of options()."""
        byte = options(qos, **option_args)
        number = self.next_id()
        wanted = [item if isinstance(item, tuple) else (item, byte) for item in filters]
        self.send(subscribe(wanted, number, props, self.level))
        found = self.wait_for('SUBACK', packet_id=number)
        if check and any(value >= 0x80 for value in found.reasons):
            raise MqttError('refused: %r' % found)
        if len(found.reasons) != len(filters):
            raise MqttError('%d filters, but %r' % (len(filters), found))
        return found.reasons

    def unsubscribe(self, *filters, props=None):
        """UNSUBSCRIBE, waits for UNSUBACK, returns it."""
        number = self.next_id()
        self.send(unsubscribe(filters, number, props, self.level))
        return self.wait_for('UNSUBACK', packet_id=number)

    def publish(self, topic, payload=b'', qos=0, retain=False, dup=False, props=None, packet_id=None, wait=True):
        """PUBLISH. With QoS 1 waits for PUBACK, with QoS 2 goes through to PUBCOMP; returns the last acknowledgement (a
        refusing PUBREC too), None with QoS 0 or without wait."""
        number = 0 if qos == 0 else (packet_id or self.next_id())
        self.send(publish(topic, payload, qos, retain, dup, number, props, self.level))
        if qos == 0 or not wait:
            return None
        if qos == 1:
            return self.wait_for('PUBACK', packet_id=number)
        found = self.wait_for('PUBREC', packet_id=number)
        if found.reason >= 0x80:
            return found
        self.send(ack('PUBREL', number))
        return self.wait_for('PUBCOMP', packet_id=number)

    def receive(self, timeout=None, **fields):
        """The next packet, which must be a PUBLISH with these fields, acknowledged as its QoS demands."""
        found = self.expect('PUBLISH', timeout, **fields)
        if found.qos == 1:
            self.send(ack('PUBACK', found.packet_id))
        elif found.qos == 2:
            self.send(ack('PUBREC', found.packet_id))
            self.wait_for('PUBREL', packet_id=found.packet_id)
            self.send(ack('PUBCOMP', found.packet_id))
        return found

    def disconnect(self, reason=None, props=None):
        """DISCONNECT, waits for the close."""
        self.send(disconnect(reason, props))
        try:
            while True:
                self.read()
        except MqttClosed:
            pass
        self.close()


def _matches(found, kind, fields):
    if found.type != kind:
        return False
    for key, want in fields.items():
        got = found.prop(key) if key in PROPERTIES else getattr(found, key)
        if isinstance(got, bytes) and isinstance(want, str):
            want = want.encode('utf-8')
        if got != want:
            return False
    return True
