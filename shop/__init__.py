"""The project: settings, URLs, the Celery app, the schedule, the base templates. It imports all rooms of the shop.

The import of the Celery app matters: without it a web process publishes to Celery's default broker, amqp://localhost.
"""

from shop.celery import app as celery_app

__all__ = ["celery_app"]
