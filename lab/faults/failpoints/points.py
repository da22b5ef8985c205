"""The points: each names a boundary, as the moment before or after one function of the real code."""

from typing import NamedTuple


class Point(NamedTuple):
    """Before or after a call of `function` ("module:name"). `match` must be in the repr of its arguments, and after the
    call in that of its result too."""

    function: str
    after: bool
    match: str = ""


BEFORE, AFTER = False, True
PUBLISH = "backroom.runtime.publisher:publish"

# In the web process, in the order in which a checkout meets them.
WEB = {
    "before commit A": Point("orders.ordering.stock:reserve", AFTER),
    "after commit A": Point("orders.ordering.checkout:reserve", AFTER),
    "after authorize": Point("orders.payments:authorize", AFTER),
    "before commit B": Point("orders.follow_ups:calls", AFTER, "orders.make_invoice"),
    "after commit B": Point(PUBLISH, BEFORE, "orders.make_invoice"),
    "after publish": Point("orders.ordering.settlement:mark_paid", AFTER),
}
# In the web process, while it takes a report of the warehouse.
WEBHOOK = {
    "before commit of a webhook": Point("orders.ordering.shipments:_change", AFTER),
    "after commit of a webhook": Point(PUBLISH, BEFORE, "orders.notify_"),
}
# In the web process, while it takes a report of the payment gateway.
PAYMENT_WEBHOOK = {
    "before commit of a payment report": Point("orders.ordering.payment_events:_settle", AFTER),
    "after commit of a payment report": Point("orders.ordering.payment_events:record", AFTER),
}
# In a worker's child, in the order in which a job meets them.
WORKER = {
    "after claim": Point("backroom.ledger.transitions:claim", AFTER, "Claimed"),
    "after the effect": Point("backroom.ledger.transitions:succeed", BEFORE),
    "before commit of an atomic job": Point("backroom.ledger.transitions:succeed", AFTER, "invoice:"),
    "in a step of a resumable job": Point("backroom.ledger.transitions:save_cursor", AFTER),
    "after finish": Point(PUBLISH, BEFORE, "orders.mail_receipt"),
}
# In the child of worker-media.
PICTURE = {
    "in a decoder": Point("catalog.media.pictures:prepared", BEFORE),
    "files stored": Point("catalog.media.steps:_record", BEFORE),
}
# In a worker's child, while it takes over a page of the supplier.
SYNC = {
    "before commit of a page": Point("catalog.supplier:_write", AFTER),
    "after commit of a page": Point("catalog.supplier:step", AFTER),
}
# In a worker's child, while it looks into an uploaded workbook.
WORKBOOK = {
    "workbook converted": Point("catalog.imports.workbook:converted", AFTER),
    "workbook replaced": Point("catalog.imports.opening:_as_csv", AFTER),
}
DISPATCHER = {
    "rows taken": Point("backroom.ledger.transitions:stage_due", AFTER, "Message"),
    "rows published": Point("backroom.runtime.publisher:send", AFTER),
    "place given": Point("backroom.ledger.lanes:open_lanes", AFTER, "Message"),
}
BEAT = {
    "slot enqueued": Point("backroom.ledger.enqueueing:insert", AFTER),
    "slot committed": Point(PUBLISH, BEFORE),
    "slot published": Point(PUBLISH, AFTER),
}
ANY = {"publish": Point("backroom.runtime.publisher:send", AFTER)}
LEDGERED = {
    **WEB, **WEBHOOK, **PAYMENT_WEBHOOK, **WORKER, **SYNC, **WORKBOOK, **PICTURE, **DISPATCHER, **BEAT, **ANY,
}  # fmt: skip

# The same boundaries without a ledger. A point that is missing here does not exist there.
CALL, APPLY = "lab.faults.naive.task:NaiveTask.__call__", "lab.faults.naive.task:NaiveTask.apply_async"
NAIVE = {
    **WEB,
    "after commit B": Point(APPLY, BEFORE, "orders.make_invoice"),
    "after claim": Point(CALL, BEFORE),
    "after the effect": Point(CALL, AFTER),
    "before commit of an atomic job": Point("orders.fulfilment.invoices:make_invoice", AFTER),
    "after finish": Point(APPLY, BEFORE, "orders.mail_receipt"),
    "slot committed": Point(APPLY, BEFORE),
    "slot published": Point(APPLY, AFTER),
}
