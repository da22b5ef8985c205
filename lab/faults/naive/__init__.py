"""The same shop without a ledger, as public examples build it: `.delay()` on commit, chains, `autoretry_for`.

Pages, verbs, task bodies and partners are the shop's own. Another settings module (settings.py) and another Celery app
(celery.py) make every task a plain Celery task (task.py) with Celery's defaults: acknowledged before it runs, four
messages prefetched per child, redelivery of a dead worker's messages after an hour, no time limit, no dispatcher, no
reconciler. The comparison is fair:

* it follows "Using Celery with Django" in Celery's documentation;
* a task has the same attempts and pauses as with the ledger, in Celery's own options;
* an `atomic` task runs in a transaction; Retry-After and a breaker's snooze are obeyed;
* partners get the same idempotency keys.
"""
