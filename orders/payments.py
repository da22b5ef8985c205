"""The payment gateway: authorize an order's payment, query it, then capture it or give it back.

No function here uses the database. A customer waits for `authorize`, so its limits are short: 1 s for the rate limit,
0.5 s to connect, 2 s for the answer. settlement.py decides the consequences for the order.

The authorization's key is `payment:<order number>`, and each step on it has its own (`capture:`, `void:`, `refund:`).
The gateway does each step once. Of a capture and a void it does the first and answers the second with a conflict.
"""

from decimal import Decimal

from backroom.outbound.http import Conflict, Partner, PartnerUnavailable

APPROVED, DECLINED, PENDING, VOIDED = "approved", "declined", "pending", "voided"
CAPTURED, REFUNDED = "captured", "refunded"
CARDS = {
    "demo-approve": "Demo card: approved",
    "demo-decline": "Demo card: declined",
    "demo-slow": "Demo card: slow bank",
}

gateway = Partner("payments", timeout=(0.5, 2.0), patience=1.0)
patient = Partner("payments", timeout=(1, 10))  # for jobs


def authorize(number: int, amount: Decimal, currency: str, card: str) -> str:
    """Reserve the money for an order, once for any number of calls; returns the status.

    VOIDED: the order was cancelled before the request arrived, and nothing is reserved. Raises what Partner.post does;
    then the money may or may not be reserved.
    """
    body = {"order": str(number), "amount": f"{amount:.2f}", "currency": currency, "card": card}
    return _status(gateway.post("/payments/authorizations", body, key=f"payment:{number}"))


def find(number: int) -> str | None:
    """The status of an order's authorization, None if the gateway has none. Raises what Partner.get does."""
    answer = gateway.get(f"/payments/authorizations/payment:{number}")
    return None if answer is None else _status(answer)


def capture(number: int) -> None:
    """Charge the reserved money. Raises Conflict if it was voided, and what Partner.post does."""
    _step(number, "capture")


def void(number: int) -> None:
    """Release the reserved money, and refuse an authorization that arrives later. Raises Conflict if the money was
    captured, and what Partner.post does."""
    _step(number, "void")


def refund(number: int) -> str:
    """Undo a payment, captured or only reserved; returns REFUNDED or VOIDED. Raises what Partner.post does.

    A capture may be on its way, so the status is not queried first. A void that arrives before it leaves nothing to
    capture. A void that arrives after it fails with a conflict, and the captured money is refunded.
    """
    try:
        void(number)
    except Conflict:
        _step(number, "refund")
        return REFUNDED
    return VOIDED


def _step(number: int, step: str) -> None:
    patient.post(f"/payments/authorizations/payment:{number}/{step}", {}, key=f"{step}:{number}")


def _status(answer: dict) -> str:
    status = answer.get("status")
    if status not in (APPROVED, DECLINED, PENDING, VOIDED, CAPTURED, REFUNDED):
        raise PartnerUnavailable("payments answered with an unknown status")
    return status
