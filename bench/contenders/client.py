"""The process that enqueues: reads a command a line from stdin, writes the seconds that it took to stdout.

A command is JSON: {"body": "nothing", "calls": [["1"], ["2"]], "how": "one", "rate": 50}. `how` is one of
    one          one call for each job, `rate` a second if it is given
    many         one call for all
    transaction  one call for all, inside a database transaction
    die          the same, and the process is killed at the end of the commit, before what Django does after it
It writes a line `call` to the journal before each call.
"""

import importlib
import json
import os
import signal
import sys
import time
from functools import partial
from typing import Any

import django
from django.apps import apps
from django.db import transaction

from bench.contenders.work import record


def main(name: str) -> None:
    django.setup()
    module = importlib.import_module(f"bench.contenders.{name}")
    print("ready", flush=True)
    for line in sys.stdin:
        print(run(module, **json.loads(line)), flush=True)


def run(module: Any, body: str, calls: list, how: str, rate: float | None = None) -> float:
    begin = time.perf_counter()
    if how == "one":
        for number, call in enumerate(calls):
            if rate:
                time.sleep(max(0, begin + number / rate - time.perf_counter()))
            record("call", call[0])
            module.enqueue(body, [call])
    else:
        for call in calls:
            record("call", call[0])
        if how == "many":
            module.enqueue(body, calls)
        else:
            in_transaction(module, body, calls, how)
    return time.perf_counter() - begin


def in_transaction(module: Any, body: str, calls: list, how: str) -> None:
    if how == "die":
        killing = partial(os.kill, os.getpid(), signal.SIGKILL)
        vars(transaction.get_connection())["run_and_clear_commit_hooks"] = killing
    with transaction.atomic():
        if how == "die":
            apps.get_model("auth", "Group").objects.create(name=calls[0][0])  # a row of the business, as an order is
        getattr(module, "in_transaction", module.enqueue)(body, calls)


if __name__ == "__main__":
    main(sys.argv[1])
