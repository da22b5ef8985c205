"""Reading from a socket until a deadline. A socket's own timeout is for each read, so a partner that sends a byte now
and then would never time out."""

import http.client
import io
import socket
import time
from typing import Any


class Bounded(io.RawIOBase):
    """A socket's file that raises TimeoutError once the socket's timeout, counted from now, is over."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.file = sock.makefile("rb", buffering=0)
        self.timeout = sock.gettimeout() or 60.0
        self.renew()

    def renew(self) -> None:
        """Count the timeout from now."""
        self.deadline = time.monotonic() + self.timeout

    def readinto(self, buffer) -> int | None:
        """Read what arrives before the deadline. Raises TimeoutError."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        self.sock.settimeout(left)
        try:
            return self.file.readinto(buffer)
        finally:
            self.sock.settimeout(self.timeout)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.file.close()
        super().close()


def bounded(sock: socket.socket) -> io.BufferedReader:
    """Like socket.makefile("rb"), with the socket's timeout as deadline for the whole."""
    return io.BufferedReader(Bounded(sock))


class BoundedResponse(http.client.HTTPResponse):
    """An answer whose read timeout bounds headers and body together: http.client's bounds each read."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        self.fp = bounded(sock)
