"""Reading from a socket until a deadline.

A socket's timeout is for each read, so a partner that sends a byte now and then could keep us for ever.
"""

import io
import socket
import time


class Bounded(io.RawIOBase):
    """What arrives on a socket within its timeout, counted from now; after that, reading raises TimeoutError."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.file = sock.makefile("rb", buffering=0)
        self.timeout = sock.gettimeout() or 60.0
        self.renew()

    def renew(self) -> None:
        """Count from now."""
        self.deadline = time.monotonic() + self.timeout

    def readinto(self, buffer) -> int | None:
        """Read what is there, or comes in time. Raises TimeoutError."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        self.sock.settimeout(left)
        try:
            return self.file.readinto(buffer)
        finally:
            self.sock.settimeout(self.timeout)

    def readable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Close the socket's file, too."""
        self.file.close()
        super().close()


def bounded(sock: socket.socket) -> io.BufferedReader:
    """A socket's file, as by makefile("rb"), bounded by the socket's timeout from now."""
    return io.BufferedReader(Bounded(sock))
