"""The variables that the shop reads, each with its type and default. A wrong value stops the process at boot.

The process's own environment wins over the file `env` in $BACKROOM_VAR.
"""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.core.exceptions import ValidationError as InvalidAddress
from django.core.validators import validate_email
from dotenv import load_dotenv
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get("BACKROOM_VAR") or BASE_DIR / "var").resolve()


def must(words: str, test: Callable[[Any], object]) -> AfterValidator:
    """Refuse a value with these words if its test is false or raises."""

    def check(value: Any) -> Any:
        try:
            passed = test(value)
        except (ValueError, InvalidAddress):
            passed = False
        if not passed:
            raise ValueError(words)
        return value

    return AfterValidator(check)


def url(*schemes: str, empty: bool = False) -> AfterValidator:
    """Require one of the schemes, a host and a valid port. Sentinels are several addresses with semicolons, and SQS
    needs no host. The value stays a string."""

    def test(value: str) -> object:
        each = [urlsplit(part) for part in (value.split(";") if value.startswith("sentinel:") else [value])]
        return (empty and not value) or all(
            parts.scheme in schemes and (parts.hostname or parts.scheme == "sqs") and parts.port != 0  # .port may raise
            for parts in each
        )

    return must(f"should look like {schemes[0]}://host:port (schemes: {', '.join(schemes)})", test)


def _database(value: str) -> bool:
    """libpq takes several hosts, with commas: of a primary and its standbys."""
    parts = urlsplit(value)
    hosts = [urlsplit(f"//{host}") for host in parts.netloc.rpartition("@")[2].split(",")]
    return parts.scheme in ("postgres", "postgresql") and all(host.hostname and host.port != 0 for host in hosts)


def _clamd(value: str) -> bool:
    parts = urlsplit(value)
    where = {"tcp": parts.hostname and parts.port, "unix": parts.path}
    return not value or bool(where.get(parts.scheme))


CommaSeparated = BeforeValidator(lambda value: [part.strip() for part in value.split(",") if part.strip()])
Hosts = Annotated[list[str], must("should be the shop's host names", bool), CommaSeparated]
REDIS = ("redis", "rediss", "sentinel")
HttpUrl = Annotated[str, url("https", "http")]
# Only ASCII, as for customers: other addresses need a mail server with SMTPUTF8.
MailAddress = Annotated[
    str, must("should be a mail address", lambda value: value.isascii() and not validate_email(value))
]
Rate = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]  # calls per second; 0.5 is one in two seconds
Token = Annotated[str, must("should be 20 random characters or more", re.compile(r"([\x21-\x7e]{20,})?").fullmatch)]
WebhookSecret = Annotated[
    str,
    must(
        "should be whsec_ and 24 to 64 random bytes in base64", re.compile(r"(whsec_[A-Za-z0-9+/=]{32,88})?").fullmatch
    ),
]
VapidKey = Annotated[
    str, must("should be the 32 bytes of a P-256 private key in base64url", re.compile(r"([\w-]{43}=?)?").fullmatch)
]

LIMITS = {  # requests and seconds
    "sign_ins_by_account": (10, 300),
    "sign_ins_by_client": (30, 300),
    "codes_by_account": (10, 300),  # of the second factor
    "orders_by_client": (30, 60),
    "orders_by_email": (10, 3600),
    "unpaid_by_client": (10, 600),  # declined, or unconfirmed and holding stock
    "unpaid_pieces_by_client": (600, 3600),  # three full orders, for as long as stock is held
    "carts_by_client": (30, 60),  # new ones
    "links_by_client": (10, 600),  # mails with an order's link
    "exports_by_account": (5, 86_400),  # of a person's data
    "webhooks_by_account": (60, 3600),  # new endpoints, test events, replays and resumes
    "suggestions_by_client": (120, 60),
    "newsletter_by_client": (10, 600),
    "newsletter_by_email": (5, 3600),
    "account_mails_by_email": (10, 3600),  # of sign-ups, resets and changes of address, known or not
    "account_mails_by_client": (20, 3600),
}


def _limits(text: str) -> dict[str, tuple[int, int]]:
    """LIMITS with those in the text, as in `orders_by_client=60/60,orders_by_email=off`. Raises ValueError."""
    found = dict(LIMITS)
    for part in filter(None, text.replace(" ", "").split(",")):
        name, _, limit = part.partition("=")
        if name not in LIMITS or not re.fullmatch(r"off|[1-9][0-9]{0,6}/[1-9][0-9]{0,6}", limit):
            raise ValueError(f"should be name=requests/seconds or name=off, with commas; names: {', '.join(LIMITS)}")
        if limit == "off":
            del found[name]
        else:
            requests, _, seconds = limit.partition("/")
            found[name] = int(requests), int(seconds)
    return found


Limits = Annotated[dict[str, tuple[int, int]], BeforeValidator(_limits)]


class FlowerEnvironment(BaseSettings):
    """What Flower reads, from its own environment only: the file holds more secrets than it needs.

    Raises ImproperlyConfigured with a line per wrong variable. A line never shows the value: it may be a secret.
    """

    model_config = SettingsConfigDict(case_sensitive=True, enable_decoding=False, validate_default=False)

    DEBUG: bool = False
    BROKER_URL: Annotated[str, url(*REDIS, "amqp", "amqps", "sqs")]
    # Breakers, rates and limits live there, beside another broker than Redis. With Sentinel: its name for the primary.
    REDIS_URL: Annotated[str, url(*REDIS, empty=True)] = ""
    BROKER_MASTER: str = "mymaster"
    FLOWER_BASIC_AUTH: Annotated[list[str], CommaSeparated] = []
    FLOWER_READ_ONLY: bool = True
    LIMITS: Limits = LIMITS
    CLIENT_HEADER: Annotated[str, must("should be a header's name", re.compile(r"[A-Za-z-]*").fullmatch)] = ""
    LOG_FORMAT: Literal["json", "pretty"] | None = None

    def __init__(self) -> None:
        try:
            super().__init__()
        except ValidationError as error:
            raise ImproperlyConfigured("\n".join(map(_line, error.errors(include_input=False)))) from None


class Environment(FlowerEnvironment):
    """What the shop's other processes read, also from the file."""

    SECRET_KEY: str
    ALLOWED_HOSTS: Hosts = ["127.0.0.1", "localhost", "[::1]"]
    SITE_URL: HttpUrl = "http://127.0.0.1:8000"
    HSTS_SCOPE: Literal["host", "subdomains", "preload"] = "host"  # with https
    DATABASE_URL: Annotated[str, must("should look like postgres://host:port/name", _database)]
    DATABASE_STATEMENT_TIMEOUT: int = 10  # seconds; 0 lifts it, for a migration of a large table
    DISABLE_SERVER_SIDE_CURSORS: bool = False  # true behind a pooler that gives a session for a transaction only
    EMAIL_URL: Annotated[str, url("smtp", "smtps", "smtp+tls", "smtp+ssl")] = "smtp://127.0.0.1:1025"
    STAFF_EMAIL: MailAddress = "staff@backroom.example"
    ALERT_MAIL_TO: Annotated[list[MailAddress], CommaSeparated] = []
    PARTNERS_URL: HttpUrl = "http://127.0.0.1:8100"
    INBOX_URL: HttpUrl = "http://127.0.0.1:8025"
    FLOWER_URL: HttpUrl = "http://127.0.0.1:5555"
    STAFF_TOTP: bool | None = None  # whether staff need a second factor; None is True without DEBUG
    STAFF_SESSION_HOURS: Annotated[int, Field(ge=1)] = 8
    STAFF_IDLE_MINUTES: Annotated[int, Field(ge=1)] = 60
    PAYMENTS_RATE: Rate = 200
    WAREHOUSE_RATE: Rate = 100
    FRAUD_RATE: Rate = 100
    ANALYTICS_RATE: Rate = 100
    MAIL_RATE: Rate = 50
    SMS_RATE: Rate = 20
    PUSH_RATE: Rate = 100
    SUPPLIER_RATE: Rate = 10
    ACCOUNTING_RATE: Rate = 10
    ENDPOINT_RATE: Rate = 10  # to one endpoint of a customer, and to all of an account
    CAMPAIGN_RATE: Rate = 20  # mails of all campaigns together, below MAIL_RATE
    CAMPAIGN_SLICE: Annotated[int, Field(ge=1, le=5_000)] = 500  # mails that a campaign has in the ledger at a time
    WORKER_GRACE: int = 70  # seconds from SIGTERM to the supervisor's SIGKILL
    CANCEL_GRACE: Annotated[float, Field(ge=0)] = 10  # seconds for a cancelled job to end by itself
    DEPLOY_WINDOW: int = 600  # seconds in which old and new code may run together
    JOBS_RETENTION_DAYS: Annotated[int, Field(ge=1)] = 30
    CUSTOMER_RETENTION_DAYS: Annotated[int, Field(ge=1)] = 730  # the years in which goods may be claimed
    INVOICE_RETENTION_YEARS: Annotated[int, Field(ge=0)] = 10
    DOCUMENTS_FROM: Annotated[int, Field(ge=1, lt=2**31)] = 1  # no new invoice or credit note has a lower number
    # The partners sign their webhooks with these; without one, all of its webhooks are refused.
    WAREHOUSE_WEBHOOK_SECRET: WebhookSecret = ""
    SMS_WEBHOOK_SECRET: WebhookSecret = ""
    MAIL_WEBHOOK_SECRET: WebhookSecret = ""
    PAYMENTS_WEBHOOK_SECRET: WebhookSecret = ""
    # Of pictures, clips, imports and exports: s3://bucket, or "" for the folder VAR. boto3 reads AWS_* itself.
    STORAGE_URL: Annotated[
        str, must("should look like s3://bucket", re.compile(r"(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?").fullmatch)
    ] = ""
    CLAMD_URL: Annotated[str, must("should look like tcp://host:3310 or unix:///path", _clamd)] = ""
    # Hosts and ports that webhooks may reach although they are not public, as in a demo.
    WEBHOOK_ALLOW: Annotated[list[str], CommaSeparated] = []
    VAPID_PRIVATE_KEY: VapidKey = ""  # without one, no browser is offered notifications
    METRICS_TOKEN: Token = ""  # without one only staff may read /metrics
    METRICS_DIR: Path = VAR / "metrics"
    OTEL_EXPORTER_OTLP_ENDPOINT: HttpUrl | None = None  # no endpoint, no traces

    def __init__(self) -> None:
        file = VAR / "env"
        try:
            if file.exists():
                load_dotenv(file, interpolate=False)  # into os.environ, where OpenTelemetry reads its own variables
        except OSError as error:
            sys.exit(f"{file} can't be read ({error.strerror}). Run this as the user who ran make demo.")
        super().__init__()


def _line(error: Any) -> str:
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{error['loc'][0]} {'is not set' if error['type'] == 'missing' else message}."
