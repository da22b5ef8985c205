"""The shop without a ledger, with the options that Celery's documentation recommends for work that must not get lost.

The list is https://devchecklists.com/celery-tasks-checklist/; the reasons below are Celery's own. The shops without a
ledger already share the rest of it (task.py): calls on commit, `autoretry_for` with backoff, jitter and a limit,
arguments that are ids, idempotency keys. All links are to https://docs.celeryq.dev/en/stable/.

Left out: `task_retry_on_worker_lost`, new in Celery 5.7. It ends the loop of a task that kills its worker, and makes
each other task whose worker died wait for three minutes.
"""

from lab.faults.naive.settings import *  # noqa: F403

WITHOUT_LEDGER = "Plain Celery with its reliability checklist, no ledger"

# faq.html#should-i-use-retry-or-acks-late: use both, for a task that may run again if its worker dies.
NAIVE_TASK_ACKS_LATE = True
# userguide/configuration.html#task-reject-on-worker-lost: else a killed child's message is acknowledged all the same.
NAIVE_TASK_REJECT_ON_WORKER_LOST = True
# userguide/optimizing.html#reserve-one-task-at-a-time
NAIVE_WORKER_PREFETCH_MULTIPLIER = 1
# userguide/workers.html#time-limits: the ledger's own numbers, in seconds.
NAIVE_TASK_SOFT_TIME_LIMIT, NAIVE_TASK_TIME_LIMIT = 50, 60
# getting-started/backends-and-brokers/redis.html#caveats: a task that waits for longer runs twice, and a dead worker's
# messages wait as long. So it is the longest pause of a retry, half an hour, and a task's time limit.
NAIVE_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 30 * 60 + NAIVE_TASK_TIME_LIMIT}
# userguide/configuration.html#worker-cancel-long-running-tasks-on-connection-loss: late tasks would run twice.
NAIVE_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
