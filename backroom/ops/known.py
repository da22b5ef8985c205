"""The project's tasks by name, without Celery's own."""

from functools import cache

from celery import current_app

from backroom.runtime.app import CELERYS


@cache
def load_tasks() -> None:
    """Import all tasks: a web process has imported only those that it enqueues. Once, as Celery searches all apps."""
    current_app.loader.import_default_modules()


def tasks() -> list[str]:
    load_tasks()
    return sorted(name for name in current_app.tasks if not name.startswith(CELERYS))
