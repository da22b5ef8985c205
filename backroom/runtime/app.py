"""A Celery app in which every way to call a task leads to the ledger."""

from celery import Celery


class LedgerCelery(Celery):
    """Celery, with tasks that are jobs. `send_task` by name goes through the ledger too where the task is known."""

    task_cls = "backroom.runtime.task:LedgerTask"

    def send_task(self, name, args=None, kwargs=None, **options):
        """Enqueue the task of this name. Raises celery.exceptions.NotRegistered for an unknown one: a message
        without a row would be work that can get lost."""
        if name not in self.tasks:
            self.loader.import_default_modules()  # a web process has imported only the tasks that it calls
        return self.tasks[name].apply_async(args, kwargs, **options)
