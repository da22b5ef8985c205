"""The experiments as the page lists them: the fault, the expected result, the code behind it, and others' issues."""

from dataclasses import dataclass

from lab.checks import Scenario
from lab.scenarios import partners, processes, work

SLOW_MACHINE = 3  # times the stated seconds until an experiment ends, as a machine may be busy


@dataclass(frozen=True)
class Experiment:
    """`within`: seconds until `expect` occurs on an idle machine. `naive`: what occurs without a ledger. `code`: the
    file that keeps the promise. `issue`: the address and the content of a thread about the pitfall."""

    slug: str
    title: str
    fault: str
    expect: str
    naive: str
    why: str
    code: str
    issue: tuple[str, str]
    within: int
    scenario: Scenario

    @property
    def longest(self) -> int:
        """Seconds after which it ends, with or without a result."""
        return self.within * SLOW_MACHINE


ALL = (
    Experiment(
        "slow-partner",
        "The warehouse is slow",
        "The warehouse takes two seconds for each request. The lab places three orders.",
        "Each customer gets a fast response. The shipments follow, two seconds each, and every effect happens once.",
        "The same, while nothing else fails. Messages that a worker prefetched wait behind its slow tasks.",
        "No customer waits for background work. Workers do not prefetch: a waiting message stays in the broker.",
        "orders/ordering/checkout.py",
        ("https://github.com/celery/celery/issues/6500", "long tasks block prefetched ones"),
        15,
        partners.slow_partner,
    ),
    Experiment(
        "failing-partner",
        "The warehouse fails",
        "The warehouse answers 503 to every request. The lab places six orders.",
        "After five failures the circuit breaker opens, and requests stop. When the warehouse works again, one probe"
        " closes the breaker. Each order is shipped once.",
        "This alone loses nothing. Each task retries on its own, and its retry waits in a worker's memory: kill that"
        " worker, and the retry is lost.",
        "A retry is a row with a time, not a message in a worker's memory. All processes share one circuit breaker.",
        "backroom/outbound/breaker.py",
        ("https://github.com/celery/celery/issues/9849", "workers hold tasks with a countdown"),
        25,
        partners.failing_partner,
    ),
    Experiment(
        "hanging-partner",
        "Analytics hangs",
        "The analytics company accepts each request and never answers. The lab places two orders.",
        "Receipts and parcels go out meanwhile. Each request times out after five seconds. When analytics works again,"
        " it gets one event per order.",
        "The same, as both shops use one HTTP client with a timeout. Without a timeout the worker would hang forever.",
        "Each request to a partner has a total deadline. Each kind of work has its own workers.",
        "backroom/outbound/http.py",
        ("https://github.com/codl/forget/issues/12", "without a timeout, workers wait forever"),
        25,
        partners.hanging_partner,
    ),
    Experiment(
        "limiting-partner",
        "The warehouse limits requests",
        "The warehouse answers 429 with Retry-After: 2. The lab places four orders.",
        "After the first 429 all workers pause for the two seconds. Then each order is shipped once.",
        "Each task runs into the limit on its own. Nothing is lost.",
        "All processes share a partner's rate limit. Celery's own rate_limit is per worker.",
        "backroom/outbound/breaker.lua",
        ("https://github.com/celery/celery/issues/5732", "rate_limit is per worker"),
        15,
        partners.limiting_partner,
    ),
    Experiment(
        "kill-worker",
        "A worker dies during a job",
        "The lab places an order, and kills the worker process that has just begun its shipment (SIGKILL).",
        "Within seconds the job is requeued and runs as attempt 2. The order is shipped once.",
        "The shipment is lost: its message was acknowledged before the task ran. acks_late would lose it too, as Celery"
        " acknowledges the message of a killed child.",
        "Every two seconds a worker compares its running jobs in the ledger with those that its processes run. It"
        " requeues the jobs that no process runs.",
        "backroom/ledger/rescue.py",
        ("https://github.com/celery/celery/issues/1628", "a killed child's message is acknowledged"),
        20,
        processes.kill_worker,
    ),
    Experiment(
        "kill-web",
        "The web dies after the charge",
        "The lab kills the web server (SIGKILL) after an order is charged and committed, before its jobs are"
        " published. This page is offline for a moment, too.",
        "The order gets its invoice, receipt and shipment, though its customer got no response.",
        "The order is paid, and nothing else ever happens: its tasks were in the memory of the web process only.",
        "The jobs are committed in the order's transaction. The dispatcher publishes those that the web process did"
        " not.",
        "orders/ordering/settlement.py",
        ("https://github.com/openedx/openedx-events/pull/292", "a crash between commit and broker loses the event"),
        25,
        processes.kill_web,
    ),
    Experiment(
        "freeze-broker",
        "The broker freezes",
        "The lab freezes the broker for five seconds (SIGSTOP), and places three orders meanwhile.",
        "Each customer gets a response in a fraction of a second. All jobs run when the broker is back.",
        "Customers wait for the broker, one after the other, and occupy the web server's threads.",
        "Publishing has a short timeout. After a failure the process does not publish until the broker answers.",
        "backroom/runtime/publisher.py",
        ("https://github.com/celery/celery/issues/4296", "delay() waits forever when the broker does not answer"),
        25,
        processes.freeze_broker,
    ),
    Experiment(
        "flush-broker",
        "The broker loses its data",
        "The lab slows down a partner until messages pile up, and empties the broker (FLUSHALL).",
        "Within seconds the jobs are published again and run. Nothing is lost.",
        "The queued messages are lost for good.",
        "The ledger is the truth, a message only an id. The dispatcher publishes a job again if it is older than the"
        " broker's oldest message.",
        "backroom/runtime/dispatcher.py",
        ("https://github.com/celery/kombu/issues/1063", "an eviction by Redis loses messages and bindings"),
        25,
        processes.flush_broker,
    ),
    Experiment(
        "poison",
        "A job kills its worker",
        "The lab enqueues a job that kills its process in each attempt, and places two orders.",
        "After two attempts the job is a dead letter, and the other jobs have run. The lab makes it harmless and"
        " replays it.",
        "It runs once, its process dies, and no record of it is left. With task_reject_on_worker_lost it would run"
        " again forever.",
        "The ledger counts an attempt when it begins, so a job that never ends has a limit.",
        "backroom/ledger/transitions.py",
        ("https://github.com/celery/celery/issues/9082", "reject_on_worker_lost redelivers such a task forever"),
        30,
        work.poison_job,
    ),
    Experiment(
        "flood",
        "A campaign and a password mail",
        "The lab enqueues 2,000 mails of a campaign, and one second later a password mail. Both are the lab's own, on"
        " the queues bulk and critical. At the end it cancels the rest of the campaign.",
        "The password mail arrives within three seconds, long before the campaign ends.",
        "The same, with the same queues. But no rate limit protects the mail server, and a cancellation has to delete"
        " messages from the broker.",
        "Urgent mails have their own queue, workers and share of the mail server's rate limit.",
        "notifications/mail.py",
        ("https://github.com/frappe/frappe/issues/1211", "a newsletter delays urgent mails"),
        10,
        work.flood,
    ),
    Experiment(
        "stop-beat",
        "Beat is down",
        "The lab stops beat, waits until a scheduled report is due, and starts beat again.",
        "Within ten seconds Operations shows an alert. When beat is back, it runs the missed slot: one mail.",
        "The same, without an alert.",
        "Each schedule stores its last run in a row. Each process sends a heartbeat.",
        "backroom/runtime/scheduler.py",
        ("https://github.com/celery/django-celery-beat/issues/824", "beat stops silently"),
        20,
        work.stop_beat,
    ),
    Experiment(
        "two-beats",
        "Two beats",
        "The lab starts a second beat, and waits until three scheduled reports are due.",
        "Three reports are mailed, each once.",
        "Each beat runs each slot: six mails.",
        "Beat claims a slot by compare-and-set, in the transaction that enqueues its job.",
        "backroom/runtime/scheduler.py",
        ("https://github.com/celery/django-celery-beat/issues/337", "each instance sends every task"),
        20,
        work.two_beats,
    ),
)
BY_SLUG = {experiment.slug: experiment for experiment in ALL}
