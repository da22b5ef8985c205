"""How every process writes its log: one JSON object a line, or lines for people; to stderr, which supervisors keep."""

import logging
import os
from collections.abc import Callable
from typing import Any

import structlog
from celery.signals import setup_logging
from gunicorn.glogging import Logger
from structlog.typing import EventDict

# What each line gets, whether it comes from structlog or from a library's logging.
COMMON: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

logging.captureWarnings(True)
structlog.configure(
    processors=[*COMMON, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)


def formatter(kind: str, clean: Callable[[str], str] = str) -> logging.Formatter:
    """The formatter for `json` or `pretty`; texts and tracebacks go through `clean`."""

    def cleaned(logger: Any, name: str, line: EventDict) -> EventDict:
        return dict(line) | {part: clean(str(line[part])) for part in ("event", "exception") if part in line}

    pretty = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    return structlog.stdlib.ProcessorFormatter(
        # Without what libraries add as `extra`: Django's is a request, with a token in its address.
        foreign_pre_chain=COMMON,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            cleaned,
            structlog.processors.JSONRenderer(ensure_ascii=False) if kind == "json" else pretty,
        ],
    )


def configuration(kind: str, clean: Callable[[str], str]) -> dict[str, Any]:
    """Django's LOGGING. Left out is what RequestLog and backroom/observe/context.py say in one line: Celery's lines on each task, and
    Django's on what was not found."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter, "kind": kind, "clean": clean}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "line"},
            "journal": {"class": "backroom.observe.progress.Handler"},
        },
        "root": {"handlers": ["stderr", "journal"], "level": "INFO"},
        "loggers": {
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "django.request": {"level": "ERROR"},
        },
    }


@setup_logging.connect
def leave_it_to_django(**_: Any) -> None:
    """Being connected keeps Celery from configuring logging its own way."""


class GunicornLogger(Logger):
    """Gunicorn's own lines in the same form. Its main process never loads Django."""

    def setup(self, cfg: Any) -> None:
        """Called by gunicorn at its start."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(formatter(os.environ.get("LOG_FORMAT", "json")))
