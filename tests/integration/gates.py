"""Time passing for a partner's gate, without waiting."""

from backroom.runtime import scripts


def fails_for(partner: str, seconds: float) -> None:
    """As if it had failed for these seconds more."""
    scripts.client().hincrbyfloat(f"backroom:partner:{{{partner}}}", "failing_since", -seconds)


def pause_over(partner: str) -> None:
    """As if the pause after which an open breaker is probed were over, and the lease of a probe that died."""
    scripts.client().hset(f"backroom:partner:{{{partner}}}", mapping={"open_until": 1, "probe_until": 0})
