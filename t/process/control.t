#!/usr/bin/python3
"""The control socket with everything that is not a client of ours on its other end."""

import os
import random
import select
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from gateway import FLEET, Gateway  # noqa: E402
from tap import done, is_, like, ok  # noqa: E402

MAGIC = 0x31435053


def connect(g):
    s = socket.socket(socket.AF_UNIX)
    s.connect(g.path('data/control.sock'))
    s.settimeout(20)
    return s


def request(*args):
    body = struct.pack('=I', len(args)) + b''.join(struct.pack('=I', len(a)) + a for a in args)
    return struct.pack('=II', MAGIC, len(body)) + body


def answer(s):
    """Frames until the end: {kind: bytes}, None when it was just closed."""
    data = b''
    try:
        while True:
            more = s.recv(65536)
            if not more:
                break
            data += more
    except ConnectionResetError:
        pass
    frames = {}
    while len(data) >= 5:
        kind, n = struct.unpack('=BI', data[:5])
        frames[kind] = frames.get(kind, b'') + data[5:5 + n]
        data = data[5 + n:]
    return frames or None


with Gateway(FLEET) as g:
    for name, data in (('nothing', b''), ('text', b'GET / HTTP/1.1\r\n\r\n'), ('a wrong magic', struct.pack('=II', 7, 4) + b'abcd'),
                       ('a huge length', struct.pack('=II', MAGIC, 0xffffffff)),
                       ('no arguments', struct.pack('=III', MAGIC, 4, 0)),
                       ('too many arguments', request(*[b'x'] * 17)),
                       ('a length beyond its end', struct.pack('=IIII', MAGIC, 8, 1, 400)),
                       ('a NUL in an argument', request(b'stat\0us')),
                       ('rubbish behind the arguments', struct.pack('=IIII', MAGIC, 14, 1, 1) + b'x12345')):
        with connect(g) as s:
            s.sendall(data)
            if not data:
                s.shutdown(socket.SHUT_WR)
            frames = answer(s)
            ok(frames is None or struct.unpack('=I', frames[3])[0] == 2, name + ': closed or answered with usage')
    with connect(g) as s:
        s.sendall(request(b'dance'))
        frames = answer(s)
        is_(struct.unpack('=I', frames[3])[0], 2, 'an unknown order: exit code 2')
        like(frames[2].decode(), r'does not know the order "dance"', '... with a complaint')
    with connect(g) as s:
        s.sendall(request(b'explain', b'one'))
        is_(struct.unpack('=I', answer(s)[3])[0], 2, 'half a question')

    random.seed(7)
    for _ in range(200):
        with connect(g) as s:
            n = random.randrange(1, 200)
            body = bytes(random.randrange(256) for _ in range(n))
            try:
                s.sendall(struct.pack('=II', MAGIC, n) + body)
                answer(s)
            except (BrokenPipeError, ConnectionResetError):
                pass
    is_(g.status()['state'], 'running', 'two hundred random requests later it runs')

    # bytes one by one
    with connect(g) as s:
        for byte in request(b'status'):
            s.sendall(bytes([byte]))
        is_(struct.unpack('=I', answer(s)[3])[0], 0, 'a request in single bytes is served')

    # many who say nothing: the 64th and later are turned away, and all are after a while
    idle = [connect(g) for _ in range(80)]
    ok(len(select.select(idle, [], [], 20)[0]) > 0, 'who comes too many is turned away')
    for s in idle:
        is_closed = answer(s) is None
        s.close()
    ok(is_closed, 'and who says nothing is')
    is_(g.status()['state'], 'running', 'the next operator is served')

    # a long path
    is_(g.run('--control', g.path('data', 'x' * 200 + '.sock'), 'status').returncode, 1, 'a path that is too long for sun_path')

done()
