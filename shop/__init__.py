"""The project: settings, URLs, the Celery app, the schedule, the base templates. It imports all rooms of the shop.

The import of the Celery app matters: without it a web process publishes to Celery's default broker, amqp://localhost.
"""

import gc

# Before the other imports: by default, collections after each 700 new objects take an eighth of their CPU.
gc.set_threshold(10_000, 20, 20)

from shop.celery import app as celery_app  # noqa: E402

__all__ = ["celery_app"]
