"""A limit for what a decoder may take of this process's memory."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catalog.media.refused import Refused

MEMORY = 1024**3  # bytes; the largest picture that is allowed takes up to 0.7 of it


@contextmanager
def memory(more: int = MEMORY) -> Iterator[None]:
    """In the block, this process gets `more` bytes at most. Raises Refused where a picture needs more. The container's
    own limit would end the process instead, and the job with it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = [taken + more, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
    try:
        yield
    except MemoryError:
        raise Refused("The picture needs too much memory. Save it smaller, and upload that.") from None
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
