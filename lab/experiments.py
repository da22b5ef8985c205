"""The experiments: what to do, what one should see, why, and where others fell into the pit that it shows."""

from dataclasses import dataclass

from lab.checks import Act
from lab.scenarios import partners, processes, work

PATIENCE = 3  # times what is promised: so long is waited on a busy machine before everything is put right


@dataclass(frozen=True)
class Experiment:
    """`within`: seconds in which `see` comes about on a machine with nothing else to do. `without`: what the naive shop
    does instead. `code`: where the promise is kept, `issue`: a thread about the pitfall, with what it says."""

    slug: str
    title: str
    do: str
    see: str
    without: str
    why: str
    code: str
    issue: tuple[str, str]
    within: int
    act: Act

    @property
    def longest(self) -> int:
        """Seconds after which it is ended, whatever has come about."""
        return self.within * PATIENCE


ALL = (
    Experiment(
        "slow-partner",
        "The warehouse is slow",
        "Makes the warehouse take two seconds for each request, and places three orders.",
        "Each customer is answered at once. The shipments follow, two seconds each; every effect happens once.",
        "The same, as long as nothing else happens; but what a worker has fetched ahead waits behind the slow ones.",
        "No customer waits for what can be done later, and a message that waits is fetched by nobody in advance.",
        "orders/checkout.py",
        ("https://github.com/celery/celery/issues/6500", "long tasks hold up what their worker has fetched ahead"),
        15,
        partners.slow_partner,
    ),
    Experiment(
        "failing-partner",
        "The warehouse fails",
        "Makes the warehouse answer 503 to everything, and places six orders.",
        "Five orders fail there, its breaker opens, and nobody asks it any more. Well again, it is asked once, then by"
        " all; six shipments, one for each order.",
        "Nothing is lost by this alone. Each task goes on asking by itself, and waits for its next try in the memory of"
        " a worker: kill that worker, and it is gone.",
        "A try that comes later is a row with a time, not a message that a worker keeps; and one breaker serves all.",
        "backroom/outbound/breaker.py",
        ("https://github.com/celery/celery/issues/9849", "tasks that wait for their time are kept by the worker"),
        25,
        partners.failing_partner,
    ),
    Experiment(
        "hanging-partner",
        "Analytics hangs",
        "Makes the analytics company take each request and never answer, and places two orders.",
        "Receipts and parcels go out meanwhile. After five seconds each request is given up; once analytics answers, it"
        " is told once of each order.",
        "The same: the client, and its timeout, are the shop's own. Without one the worker would hang for good.",
        "Every request to a partner is bounded as a whole, and each kind of work has workers of its own.",
        "backroom/outbound/http.py",
        ("https://github.com/codl/forget/issues/12", "workers that wait without a timeout wait for ever"),
        25,
        partners.hanging_partner,
    ),
    Experiment(
        "limiting-partner",
        "The warehouse wants to be asked less",
        "Makes the warehouse answer 429, come back in two seconds, and places four orders.",
        "After the first 429 nobody asks until the time is over; then four shipments.",
        "Each task learns of the limit by itself, by running into it. Nothing is lost.",
        "What a partner asks for holds for the whole fleet. Celery's own rate_limit is one worker's.",
        "backroom/outbound/breaker.lua",
        ("https://github.com/celery/celery/issues/5732", "rate_limit is per worker, not for all"),
        15,
        partners.limiting_partner,
    ),
    Experiment(
        "kill-worker",
        "A worker dies in the middle",
        "Places an order, waits until a process has begun with its shipment, and kills that with SIGKILL.",
        "Within some seconds the job is given back and runs again, as attempt 2; one shipment.",
        "The shipment is lost: its message was acknowledged before it ran. With acks_late it would be, too: Celery"
        " acknowledges what a killed child was at.",
        "The worker says every two seconds what it has in hand. What the ledger has running there, and it has not, is"
        " given back.",
        "backroom/ledger/rescue.py",
        ("https://github.com/celery/celery/issues/1628", "a killed child's message is acknowledged"),
        20,
        processes.kill_worker,
    ),
    Experiment(
        "kill-web",
        "The web dies after the charge",
        "Places an order, and kills the web server when it is charged and committed, before its jobs are published."
        " This page is away for a moment, too.",
        "The customer gets no answer, but the order is whole: invoice, receipt, shipment, all once.",
        "The money is reserved, the order is paid, and nothing else ever happens: what on_commit was about to publish"
        " died with the process.",
        "The jobs were committed with the order. That their messages never came is noticed after five seconds.",
        "orders/settlement.py",
        (
            "https://github.com/openedx/openedx-events/pull/292",
            "between the commit and the broker a crash loses the event",
        ),
        25,
        processes.kill_web,
    ),
    Experiment(
        "freeze-broker",
        "The broker freezes",
        "Freezes the broker for five seconds (SIGSTOP), and places three orders meanwhile.",
        "Each customer is answered in a fraction of a second; all their jobs run when the broker is back.",
        "Customers wait until the broker is back, one after the other, and with them the web server's threads.",
        "Publishing is bounded, and after its first failure nobody in that process tries until the broker answers.",
        "backroom/runtime/publisher.py",
        ("https://github.com/celery/celery/issues/4296", "delay() waits for ever when the broker does not answer"),
        25,
        processes.freeze_broker,
    ),
    Experiment(
        "flush-broker",
        "The broker forgets everything",
        "Lets messages pile up behind a slow partner, and empties the broker (FLUSHALL).",
        "Some seconds later the jobs are published anew, and run; nothing is missing.",
        "What was in the queues is lost for good.",
        "A message is only a message. Jobs older than the oldest message that the broker still has are published again.",
        "backroom/runtime/dispatcher.py",
        ("https://github.com/celery/kombu/issues/1063", "what Redis evicts or loses is gone, and so are the bindings"),
        25,
        processes.flush_broker,
    ),
    Experiment(
        "poison",
        "A job that kills its worker",
        "Enqueues a job whose process dies at once, each time, and places two orders.",
        "After its two attempts it is a dead letter, and the orders beside it are done. The lab takes the poison away"
        " and replays it.",
        "It runs once, its process dies, and nobody knows of it any more. With task_reject_on_worker_lost it would come"
        " back for ever.",
        "An attempt is counted when it begins, in the ledger, so a job that never ends can't come back without end.",
        "backroom/ledger/transitions.py",
        ("https://github.com/celery/celery/issues/9082", "reject_on_worker_lost brings such a task back without end"),
        30,
        work.poison_job,
    ),
    Experiment(
        "flood",
        "A campaign, and a password to reset",
        "Enqueues 2,000 mails of a campaign, and a second later one for which a person waits. (The shop has neither:"
        " both are the lab's own, on the queues bulk and critical.) What is left of the campaign is called off.",
        "The one mail arrives within three seconds, long before the campaign is through.",
        "The same: it has the same queues. But only the speed of its worker keeps it from sending more than the mail"
        " server allows, and who calls the rest off has to reach into the broker.",
        "Who waits has a queue, a worker and a place at the partner's gate of their own.",
        "notifications/mail.py",
        ("https://github.com/frappe/frappe/issues/1211", "a newsletter blocks the mails that people wait for"),
        10,
        work.flood,
    ),
    Experiment(
        "stop-beat",
        "Beat is gone",
        "Stops beat, lets a slot of its schedule pass, and starts it again.",
        "Nothing is mailed while it is away, and Operations says so within ten seconds. Back again, it makes up for the"
        " slot: one mail.",
        "The same; but nobody is told.",
        "When a schedule fired last is in its row, and each process says that it lives.",
        "backroom/runtime/scheduler.py",
        ("https://github.com/celery/django-celery-beat/issues/824", "beat stops silently"),
        20,
        work.stop_beat,
    ),
    Experiment(
        "two-beats",
        "Two beats",
        "Starts a second beat, and lets three slots of the schedule fall due.",
        "Three reports are mailed, each once.",
        "Each beat fires each slot: six mails.",
        "A slot is taken by compare-and-set, in the transaction that enqueues its job.",
        "backroom/runtime/scheduler.py",
        ("https://github.com/celery/django-celery-beat/issues/337", "each instance sends every task"),
        20,
        work.two_beats,
    ),
)
BY_SLUG = {experiment.slug: experiment for experiment in ALL}
