"""How numbers and times are written on pages, in mails and in terminals. templatetags/ops.py makes them filters."""

from backroom.observe.models import Progress


def seconds(value: float | None) -> str:
    """A duration in its two leading digits: 1.5 s, 15 s, 15 min, 3 h, 2 days."""
    if value is None:
        return "-"
    if value < 10:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    if value < 7200:
        return f"{value / 60:.0f} min"
    return f"{value / 3600:.0f} h" if value < 172_800 else f"{value / 86_400:.0f} days"


def ms(value: float | None) -> str:
    """Milliseconds, and from 1,000 on seconds."""
    if value is None:
        return "-"
    return f"{value:.0f} ms" if value < 1000 else seconds(value / 1000)


def percent(share: float) -> str:
    """A share between 0 and 1. Only 0 is written as 0 %, and only 1 as 100 %."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{share * 100:.1f} %" if 0 < share < 1 else f"{share * 100:.0f} %"


def whole_percent(share: float) -> str:
    """Progress, rounded down: 100 % only when all is done."""
    return f"{int(share * 100)} %"


def grouped(count: float) -> str:
    """1,234; below ten with one decimal unless it is whole."""
    return f"{count:,.1f}" if count < 10 and count != int(count) else f"{count:,.0f}"


def mebibytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 2**20:.0f} MiB"


def first_line(error: str) -> str:
    """An error's first line, whole: a page wraps it."""
    return error.partition("\n")[0]


def bar(progress: Progress, width: int = 30) -> str:
    """A line for terminals: [######------]  20%  1,000 of 5,000  250 a second  16 s left"""
    share, words = progress.share, [f"{progress.done or 0:,}"]
    full = round((share or 0) * width)
    picture = "?" * width if share is None else "#" * full + "-" * (width - full)
    if share is not None:
        words = [f"{int(share * 100)}%", f"{progress.done:,} of {progress.total:,}"]
    if progress.rate:
        words.append(f"{progress.rate:,.0f} a second" if progress.rate >= 10 else f"{progress.rate:.1f} a second")
    if progress.left_s is not None:
        words.append(f"{progress.left_s:,.0f} s left")
    return f"[{picture}]  {'  '.join(words)}"
