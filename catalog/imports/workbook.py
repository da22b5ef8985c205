"""A workbook as CSV, which a process of its own writes: sheet.py."""

import subprocess
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import IO

from backroom.runtime.subprocesses import environment
from catalog.imports.reading import BLOCK, Unreadable
from catalog.media.temporary import folder

SHEET = Path(__file__).with_name("sheet.py")
CONVERSION = 40.0  # seconds, less than the job's time limit
UNREADABLE = "This workbook could not be read. It may be damaged, or too large: save its sheet as CSV."


def converted(file: IO[bytes]) -> tuple[IO[bytes], str]:
    """The first sheet that has rows, as CSV in UTF-8, and its name. Raises Unreadable.

    A hostile workbook makes its reader allocate without bound, and abort. So another process reads it, with limits and
    without our secrets: this one goes on.
    """
    csv_file = TemporaryFile(dir=folder())  # noqa: SIM115 - the caller closes it
    with NamedTemporaryFile(dir=folder()) as book, TemporaryFile(dir=folder()) as said:
        file.seek(0)
        while block := file.read(BLOCK):
            book.write(block)
        book.flush()
        command = [sys.executable, "-I", str(SHEET), book.name]
        try:
            done = subprocess.run(
                command, stdout=csv_file, stderr=said, env=environment(), timeout=CONVERSION, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise Unreadable(UNREADABLE) from error
        if done.returncode:
            raise Unreadable(UNREADABLE)
        said.seek(0)
        return csv_file, said.read(400).decode(errors="replace").strip()
