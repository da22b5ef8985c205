"""The library's settings. Each is a Django setting with the prefix BACKROOM_, and has a default and a check here."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from django.conf import settings
from django.utils.module_loading import import_string


class Setting(NamedTuple):
    default: Any
    fits: Callable[[Any], bool]
    needs: str  # in words, what fits

    @classmethod
    def seconds(cls, default: float, least: float, use: str) -> "Setting":
        return cls(default, lambda value: _is_number(value) and value >= least, f"seconds, {least} or more: {use}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and (not value or value.startswith(("http://", "https://")))


def _is_redis_url(value: Any) -> bool:
    return isinstance(value, str) and (not value or value.startswith(REDIS))


def _is_function(value: Any) -> bool:
    try:
        return value == "" or callable(import_string(value))
    except (ImportError, AttributeError, TypeError):
        return False


def _are_words(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset) and all(isinstance(word, str) and word for word in value)


def _are_positive(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_number(number) and number > 0 for number in value.values())


def _are_limits(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(pair, tuple) and len(pair) == 2 and all(_is_number(part) and part > 0 for part in pair)
        for pair in value.values()
    )


REDIS = ("redis://", "rediss://", "sentinel://")  # addresses of Redis and Valkey
URL = "an address that begins with http:// or https://, or nothing: "
SETTINGS: dict[str, Setting] = {
    # A worker requeues its jobs 3 s before the end.
    "WORKER_GRACE": Setting.seconds(
        70, 6, "from SIGTERM to the SIGKILL of the workers' supervisor; 70 lets jobs finish"
    ),
    "CANCEL_GRACE": Setting.seconds(10, 0, "after which a worker ends the process of a running job that is cancelled"),
    "DEPLOY_WINDOW": Setting.seconds(600, 0, "for which a job waits that no running release knows"),
    "SLOT_DEADLINE": Setting(
        None,
        lambda value: value is None or (_is_number(value) and 60 <= value <= 315_360_000),  # a new beat takes less
        "seconds, 60 or more, after which a slot of the schedule is skipped; None: it fires however late",
    ),
    "RETENTION_DAYS": Setting(
        30,
        lambda value: _is_number(value) and value > 0,
        "days after which finished jobs are deleted; dead letters stay",
    ),
    "PARTNERS_URL": Setting("", _is_url, URL + "below it are partners that have none of their own"),
    "REDIS_URL": Setting(
        "",
        _is_redis_url,
        "a redis://, rediss:// or sentinel:// address of Redis or Valkey, for breakers, rates and limits; nothing: the"
        " broker, if it is one of them",
    ),
    "PARTNER_RATES": Setting(
        {},
        _are_positive,
        "{partner: calls a second of the fleet}; `name:host` has the rate of `name`, others no breaker",
    ),
    "STRANGERS_ALLOW": Setting(
        [], _are_words, 'a list of "host:port": called for strangers although not public, also without TLS'
    ),
    "LIMITS": Setting({}, _are_limits, "{limit: (requests, seconds)}; a limit not named does not hold"),
    "CLIENT_HEADER": Setting(
        "", lambda value: isinstance(value, str), "the header in which the trusted proxy sends the client's address"
    ),
    "QUEUE_OBJECTIVES": Setting({}, _are_positive, "{queue: seconds for which a job may be due before an alert}"),
    "QUEUE_DEPTHS": Setting(
        {}, _are_positive, "{queue: jobs that wait before it refuses tasks with shed=True}; one not named never does"
    ),
    "ALERT_MAIL_TO": Setting(
        [], lambda value: _are_words(value) and all("@" in each for each in value), "a list of addresses"
    ),
    "REMOTE_CONTROL": Setting(
        False,
        lambda value: isinstance(value, bool),
        "True or False: workers obey each command of Celery's remote control, or only those that look",
    ),
    "DISKS": Setting([], _are_words, "a list of folders: an alert names one whose disk is full"),
    "CONTEXT_IDS": Setting(("request_id",), _are_words, "a list: the ids of log lines that a request's jobs take on"),
    "SITE_URL": Setting("", _is_url, URL + "this site's, for links in alert mails"),
    "FLOWER_URL": Setting("", _is_url, URL + "Flower's, for links on the pages"),
    "JOB_LINKS": Setting(
        "", _is_function, "the path of a function of a job and a user that returns links, (text, address), or nothing"
    ),
}


class Conf:
    """`conf.WORKER_GRACE` is settings.BACKROOM_WORKER_GRACE, or the default."""

    def __getattr__(self, name: str) -> Any:
        return getattr(settings, f"BACKROOM_{name}", SETTINGS[name].default)

    def wrong(self) -> Iterator[tuple[str, str]]:
        """Each setting that does not fit, and what it needs."""
        for name, setting in SETTINGS.items():
            if not setting.fits(getattr(self, name)):
                yield f"BACKROOM_{name}", setting.needs

    def unknown(self) -> list[str]:
        """Settings with the prefix that have no effect."""
        return [name for name in dir(settings) if name.startswith("BACKROOM_") and name[9:] not in SETTINGS]


conf = Conf()
