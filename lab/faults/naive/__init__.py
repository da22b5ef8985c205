"""The same shop without a ledger, as public examples build it: `.delay()` on commit, chains, `autoretry_for`.

Two shops share this code. The *naive* one has Celery's defaults (settings.py). The *checklist* one adds the options
that Celery's documentation recommends for work that must not get lost (checklist.py).

Pages, verbs, task bodies and partners are the shop's own. Another settings module and another Celery app (celery.py)
make every task a plain Celery task (task.py). Celery's defaults are: acknowledged before it runs, four messages
prefetched per child, redelivery of a dead worker's messages after an hour, no time limit. There is no dispatcher and no
reconciler. The comparison is fair:

* it follows "Using Celery with Django" in Celery's documentation;
* a task has the same attempts and pauses as with the ledger, in Celery's own options;
* an `atomic` task runs in a transaction; Retry-After and a breaker's snooze are obeyed;
* partners get the same idempotency keys.
"""
