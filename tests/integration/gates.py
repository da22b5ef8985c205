"""Time passing for a partner's gate, without waiting."""

from backroom.outbound import breaker


def pause_over(partner: str) -> None:
    """As if the pause after which an open breaker is probed were over, and the lease of a probe that died."""
    breaker._client().hset(f"backroom:partner:{{{partner}}}", mapping={"open_until": 1, "probe_until": 0})
