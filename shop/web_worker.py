"""gunicorn's threaded worker, but a thread gets whole requests only, and waits for no client.

gunicorn 27 limits no request's time: eight slow clients hold its eight threads for as long as they like, and each that
does not hang up stops its main loop for two seconds. Here the main loop's poller waits for all of them. No TLS.

The limits: of an answer over 400 kB, such as a whole clip, the kernel takes a part, and a
thread waits 10 s each time for a client to read on. An upload of staff over 64 KiB holds a thread while it comes.
"""

import fcntl
import re
import socket
import struct
import termios
import time
from collections import deque
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn import util
from gunicorn.workers.gthread import TConn, ThreadWorker

READ_SECONDS = 10.0  # for a whole request
HOLD_SECONDS = 10.0  # that a thread waits for a client, at each read and write
ANSWER = 208 * 1024  # bytes that the kernel takes at once; Linux allows this many, and doubles it
CLOSE_SECONDS, CLOSING = 2.0, 100  # seconds for the client to hang up; connections at most
BODY = HEADER = 64 * 1024  # bytes; the shop refuses a larger body without reading it
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)


class Worker(ThreadWorker):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.closing: deque[tuple[float, socket.socket]] = deque()

    def enqueue_req(self, conn: TConn) -> None:
        """Wait until the request is whole. A new connection comes here, and a kept one when it is readable."""
        conn.received = bytearray(conn.parser.unreader.take_buffered() if conn.parser else b"")
        conn.close = partial(self.close, conn)
        conn.sock.setblocking(False)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ANSWER)
        conn.timeout = time.monotonic() + READ_SECONDS
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))
        if self.nr_conns >= self.worker_connections:
            self.pending_conns[0].timeout = 0  # the oldest makes room: murder_pending closes it
        self.on_pending_socket_readable(conn, conn.sock)

    def on_pending_socket_readable(self, conn: TConn, client: socket.socket) -> None:
        begun = b"\r\n\r\n" in conn.received
        try:
            data = client.recv(BODY)
        except BlockingIOError:
            data = None
        except OSError:
            data = b""
        conn.received += data or b""
        done = data == b"" or _whole(conn.received)
        if (b"\r\n\r\n" not in conn.received and len(conn.received) > HEADER) or (done and _unread(client)):
            conn.timeout = 0
            self.pending_conns.remove(conn)
            self.pending_conns.appendleft(conn)  # murder_pending closes it
        elif done:
            self.poller.unregister(client)
            self.pending_conns.remove(conn)
            conn.init()
            conn.parser.unreader.unread(bytes(conn.received))
            super().enqueue_req(conn)
        elif not begun and EXPECTS.search(conn.received):
            with suppress(OSError):
                client.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def handle_request(self, req: Any, conn: TConn) -> bool:
        conn.sock.settimeout(HOLD_SECONDS)
        try:
            return super().handle_request(req, conn)
        except TimeoutError:
            return False

    def _keepalive_after(self, conn: TConn, keepalive: bool) -> bool:
        """Never wait for the rest of a body that the shop refused."""
        rest = getattr(conn.parser.mesg.body.reader, "length", BODY + 1)
        return keepalive and rest <= BODY and super()._keepalive_after(conn, keepalive)

    def close(self, conn: TConn, graceful: bool = False) -> None:
        """Let the client read the answer before the connection ends."""
        if not graceful:
            return util.close(conn.sock)
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            self.poller.register(conn.sock, EVENT_READ, self.on_closing)
        except (OSError, ValueError):
            return util.close(conn.sock)
        self.closing.append((time.monotonic() + CLOSE_SECONDS, conn.sock))

    def on_closing(self, client: socket.socket) -> None:
        try:
            if client.recv(BODY):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._close(client)

    def _close(self, client: socket.socket) -> None:
        if client.fileno() >= 0:
            self.poller.unregister(client)
            util.close(client)

    def murder_pending(self) -> None:
        super().murder_pending()
        while self.closing and (len(self.closing) > CLOSING or self.closing[0][0] < time.monotonic()):
            self._close(self.closing.popleft()[1])

    def _cap_keepalive(self, deadline: float) -> None:
        """A stop does not wait for requests that have not come."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)


def _whole(received: bytearray) -> bool:
    """Or not to be waited for: too large, or without a length."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return False
    found = LENGTH.search(received, 0, end + 2)
    length = int(found[1][-20:]) if found else 0
    return length > BODY or len(received) >= end + 4 + length


def _unread(client: socket.socket) -> bool:
    """Whether the client asks again before it has taken the last answer: thousands of these would fill its buffer."""
    with suppress(OSError):  # macOS does not say
        return struct.unpack("i", fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)))[0] > 0
    return False
