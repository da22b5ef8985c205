"""A Celery app in which every way to call a task enqueues a job."""

import socket
from functools import cached_property, partial
from typing import Any

from celery import Celery
from celery.app import amqp
from celery.app.defaults import SETTING_KEYS
from celery.app.utils import Settings
from celery.utils.imports import qualname
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from kombu import Queue

from backroom.observe.redact import without_passwords
from backroom.runtime import broker

CELERYS = "celery."  # how its own tasks' names begin: chain, chord, backend_cleanup and the like

# A cut link sends no RST. So the kernel closes a connection to the broker whose other end is silent for 13 s. By itself
# Linux waits 15 minutes for an acknowledgement, and two hours before it probes an idle connection.
_SILENCE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 3, "TCP_USER_TIMEOUT": 10_000}  # seconds; the last one milliseconds
KEEPALIVE = {getattr(socket, name): value for name, value in _SILENCE.items() if hasattr(socket, name)}

# Without timeouts (seconds) a worker that stops while the broker hangs waits until it is killed.
TRANSPORT = {
    **{"ack_emulation": False, "socket_timeout": 3},  # of Redis and Valkey
    **{"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE},
    **{"read_timeout": 3, "write_timeout": 3, "socket_settings": KEEPALIVE},  # of RabbitMQ
    "client-config": broker.sqs_client(3, 13),  # kombu waits for messages for 10 s
}

# The ledger makes results and the broker's acknowledgements redundant, and prefetching would hide waiting messages in a
# worker. A project's settings override these, and the system checks refuse what breaks a promise.
DEFAULTS: dict[str, Any] = {
    "task_acks_late": True,
    "task_ignore_result": True,
    "result_expires": None,  # no results are kept, so beat needs no job that deletes them
    "task_queues": [Queue(name, routing_key=name) for name in ("critical", "default", "bulk")],
    "task_default_queue": "default",
    "task_create_missing_queues": False,
    "task_time_limit": 60,  # seconds; BACKROOM_WORKER_GRACE is more, so that every job can finish
    "task_soft_time_limit": 50,
    "worker_disable_prefetch": True,
    "worker_prefetch_multiplier": 1,
    "worker_pool_putlocks": False,  # as early_fetch.py needs; none is fetched without a child for it
    "broker_connection_retry_on_startup": True,
    "broker_channel_error_retry": True,  # a worker outlives a Redis that becomes a replica
    "worker_consumer": "backroom.runtime.consumer:Consumer",
    "broker_transport_options": TRANSPORT,
    "beat_scheduler": "backroom.runtime.scheduler:LedgerScheduler",
    "CELERY_DB_REUSE_MAX": 1_000_000_000,  # keep the connection: Celery would close it after every task
}


def _add_defaults(source: Any, **_: Any) -> None:
    """Put DEFAULTS between the project's settings and Celery's. By Celery's add_defaults, ours would win. A project's
    broker_transport_options, such as Sentinel's master_name, are added to ours."""
    on_redis = str(source.broker_url).startswith(broker.REDIS)
    own = TRANSPORT | source.broker_transport_options
    # Celery before 5.7 prefers the name with the project's prefix to the other, wherever it stands.
    source[f"{source.prefix}BROKER_TRANSPORT_OPTIONS" if source.prefix else "broker_transport_options"] = own
    defaults = {**DEFAULTS, "worker_disable_prefetch": on_redis}  # Celery warns that it can't elsewhere
    for maps in (source.maps, source.defaults):
        maps.insert(-1, defaults)


class Queues(amqp.Queues):
    """On RabbitMQ a queue has replicas on other nodes: it is a quorum queue, unless it says its x-queue-type."""

    def __setitem__(self, name: str, queue: Any) -> None:
        if queue.durable and not queue.auto_delete and not queue.exclusive:
            queue.queue_arguments = {"x-queue-type": "quorum", **(queue.queue_arguments or {})}
        super().__setitem__(name, queue)


class AMQP(amqp.AMQP):
    queues_cls = Queues


def hide_secrets(app: Celery) -> None:
    """Let `inspect conf`, Flower and `celery report` show only Celery's own settings, without passwords. Celery shows
    all of Django's but those with a telling name, and of addresses it knows `broker_url` and not CELERY_BROKER_URL."""
    vars(app.conf)["table"] = partial(_shown, app.conf)


def _shown(source: Settings, with_defaults: bool = False, censored: bool = True) -> dict[str, Any]:
    prefix = (source.prefix or "").lower()
    table = Settings.table(source, with_defaults, censored)
    return without_passwords({k: v for k, v in table.items() if k.lower().removeprefix(prefix) in SETTING_KEYS})


class LedgerCelery(Celery):
    """Celery whose tasks are jobs. `send_task` by name enqueues a job, too, where the task is known."""

    task_cls = "backroom.runtime.task:LedgerTask"
    amqp_cls = "backroom.runtime.app:AMQP"

    def __init__(self, *args: Any, **options: Any) -> None:
        self.twins: dict[str, str] = {}  # name: the two functions that are tasks of this name
        super().__init__(*args, **options)
        self.on_after_configure.connect(_add_defaults)
        hide_secrets(self)

    def finalize(self, auto: bool = False) -> None:
        """Make the tasks, at the first use of one. Raises ImproperlyConfigured where their jobs would have no table."""
        if not self.finalized and apps.ready and not apps.is_installed("backroom"):
            raise ImproperlyConfigured('the ledger has no tables: add "backroom" to INSTALLED_APPS, and migrate')
        super().finalize(auto)

    @cached_property
    def Worker(self) -> Any:
        """The class of a worker's main process, by name: only a process that starts a worker imports it."""
        return self.subclass_with_self("backroom.runtime.worker:Worker")

    def _task_from_fun(self, fun: Any, name: str | None = None, **options: Any) -> Any:
        """Note two functions of one name, of which Celery before 5.7 says nothing. It keeps the first one."""
        task = super()._task_from_fun(fun, name, **options)
        if (first := vars(task).setdefault("_decorated_fun", fun)) is not fun:
            self._warn_duplicate_task_name(task.name, qualname(first), qualname(fun), "")
        return task

    def _warn_duplicate_task_name(self, name: str, existing: str, new: str, consequence: str) -> None:
        """Celery keeps one of the two. LedgerTask.parameters refuses both: which one it is depends on imports."""
        self.twins[name] = f"{existing} and {new}"

    def send_task(self, name, args=None, kwargs=None, **options):
        """Enqueue the task of this name. Raises celery.exceptions.NotRegistered for an unknown one: a message
        without a row would be work that can get lost."""
        if name not in self.tasks:
            self.loader.import_default_modules()  # a web process has imported only the tasks that it calls
        return self.tasks[name].apply_async(args, kwargs, **options)
