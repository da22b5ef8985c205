"""`python -I stack/supervisord.py`: supervisord that outlives a full disk under its logs.

Measured with supervisor 4.3.0: a log that can't be written is reported on stderr, and when that can't be written either
(it leads to the same disk) supervisord dies. A log that can't be rotated closes its process's pipe, and the process
hangs at its next lines. Here lines are lost until the disk has room, and nothing else is.
"""

import sys
from contextlib import suppress
from typing import Any

from supervisor import loggers, supervisord


class Log(loggers.RotatingFileHandler):
    """supervisor's log file, of which no error leaves `emit`."""

    def handleError(self) -> None:
        """Report nothing: there is no other place."""

    def emit(self, record: Any) -> None:
        try:
            super().emit(record)
        except (OSError, ValueError):  # at its rotation; ValueError: an earlier one left the file closed
            with suppress(OSError):
                self.stream = open(self.baseFilename, "ab")  # noqa: SIM115 - until the next rotation


if __name__ == "__main__":
    loggers.RotatingFileHandler = Log
    sys.exit(supervisord.main())
