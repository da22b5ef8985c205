"""The broker of a test run, which BROKER chooses, and what each broker can't have. stack/brokers.py starts them."""

import os

from stack.broker import Missing
from stack.brokers import MAKERS, running

__all__ = ["CANNOT", "MAKERS", "Missing", "cannot", "chosen", "found_within", "running"]

DEMO = "`make demo` has a Valkey of its own, on any broker"
REFUSALS = "only Redis answers and refuses writes (OOM, READONLY)"
LISTS = "it writes junk into a list of Redis, which no other broker has"
COUNTED = "it counts a command of Redis"
ADDRESS = "it writes to one Redis by its address, which a failover changes"
QUIET = "SQS carries neither events nor remote control, so Flower sees nothing"
MOTO = "SQS is never restarted, and its stand-in moto forgets its queues then"
FILE = "only Redis writes an append-only file"
# A part of the name of a test; of a row of the crash matrix behind `row: `.
OWN_DEMO = {"acceptance/test_demo": DEMO}
NOT_REDIS = {
    "outlive_a_broker_that_refuses": REFUSALS,
    "test_foreign_messages": LISTS,
    "row: stopped, its file cut to half": FILE,
}
CANNOT: dict[str, dict[str, str]] = {
    "valkey": {},
    "redis": OWN_DEMO,
    "sentinel": {
        **OWN_DEMO,
        "outlive_a_broker_that_refuses": ADDRESS,
        "test_foreign_messages": ADDRESS,
    },
    "rabbitmq": {
        **OWN_DEMO,
        **NOT_REDIS,
        "few_messages_carry_them": COUNTED,
    },
    "sqs": {
        **OWN_DEMO,
        **NOT_REDIS,
        "test_flower": QUIET,
        "flower_shows_it": QUIET,
        "test_remote_control": QUIET,
        "row: SIGKILL": MOTO,
        "row: restart": MOTO,
        "row: stopped, its data lost": MOTO,
    },
}
# Seconds in which messages that the broker lost are found, and their jobs done.
FOUND_WITHIN = {"sqs": 150.0}


def chosen() -> str:
    return os.environ.get("BROKER") or "valkey"


def cannot(name: str) -> str:
    """Why the chosen broker can't have the test or row of this name; "" if it can."""
    return next((reason for part, reason in CANNOT[chosen()].items() if part in name), "")


def found_within(name: str = "") -> float:
    return FOUND_WITHIN.get(name or chosen(), 60.0)
