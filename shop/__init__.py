"""The project: settings, addresses, the Celery app, the schedule, the base templates.

It imports all the other rooms and nobody imports it. The Celery app is imported here because without it
a task published from the web process would go to Celery's default broker, amqp://localhost.
"""

from shop.celery import app as celery_app

__all__ = ["celery_app"]
