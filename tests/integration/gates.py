"""Time passing for a partner's gate, without waiting."""

from jobs import breaker


def pause_over(partner: str) -> None:
    """As if the pause after which an open breaker is probed were over, and the lease of a probe that died."""
    breaker._client().hset(f"jobs:partner:{{{partner}}}", mapping={"open_until": 1, "probe_until": 0})
