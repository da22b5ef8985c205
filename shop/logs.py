"""The log format of every process: one JSON object per line, or plain lines; to stderr, which supervisors keep."""

import logging
import os
from collections.abc import Callable
from typing import Any

import structlog
from celery.signals import setup_logging
from gunicorn.glogging import Logger
from structlog.typing import EventDict

# For each line, both from structlog and from a library's logging.
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
        line["event"] = str(line.get("event"))
        return {part: clean(text) if isinstance(text, str) else text for part, text in line.items()}

    pretty = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    return structlog.stdlib.ProcessorFormatter(
        # No ExtraAdder: Django's `extra` holds the request, whose address may contain a token.
        foreign_pre_chain=COMMON,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            cleaned,
            structlog.processors.JSONRenderer(ensure_ascii=False) if kind == "json" else pretty,
        ],
    )


def configuration(kind: str, clean: Callable[[str], str]) -> dict[str, Any]:
    """Django's LOGGING. RequestLog and backroom/observe log what Celery says of each task and Django of a 404."""
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
def keep_django_logging(**_: Any) -> None:
    """A connected receiver keeps Celery from configuring logging itself."""


class GunicornLogger(Logger):
    """Gunicorn's lines in the same format. Its main process never loads Django."""

    def setup(self, cfg: Any) -> None:
        """Set the formatter; gunicorn calls this at its start."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(formatter(os.environ.get("LOG_FORMAT") or "json"))
