"""The same shop without a ledger, as public examples build it: `.delay()` on commit, chains, `autoretry_for`.

Pages, verbs, task bodies and partners are the shop's own. Another settings module (settings.py) and another Celery app
(celery.py) make every task a plain Celery task (task.py), with Celery's defaults: acknowledged before it runs, four
messages fetched ahead for each child, redelivery of what a dead worker fetched after an hour, no time limit, no
dispatcher. That is all there is to lose by, so that the comparison is fair:

* it follows "Using Celery with Django" of Celery's documentation;
* a task is tried as often, and with pauses as long, as the ledgered one, in Celery's own words;
* an `atomic` task runs in a transaction, a partner's Retry-After and a breaker's snooze are obeyed;
* partners are asked with the same idempotency keys.

Nor has it a reconciler. All of it is swapped in from this folder, and settings.py refuses to load outside a demo.
"""
