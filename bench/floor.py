"""The least that a checkout can cost: its SQL and its call of the payment gateway, without a framework.

At its start the shop takes an order of each basket, and the statements are written down. A request repeats them through
psycopg with an order number, a token and ids of its own, so this is the shop's SQL whatever it is today.
"""

import json
import os
import re
import secrets
import threading
import uuid
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import psycopg
import urllib3
from django.db import connection
from django.test import Client

from bench import load
from stack.sample_order import CUSTOMER

IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}")
Step = tuple[str, Any]  # a statement and its parameters, or "POST" and the body


class Recorder:
    """The steps of one order: two transactions with the payment between them, and what comes after."""

    def __init__(self) -> None:
        self.parts: list[tuple[bool, list[Step]]] = []

    def add(self, atomic: bool, step: Step) -> None:
        if not self.parts or self.parts[-1][0] != atomic:
            self.parts.append((atomic, []))
        self.parts[-1][1].append(step)

    def statement(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        self.add(connection.in_atomic_block, (sql, params))
        return execute(sql, params, many, context)


def record(lines: list[dict[str, Any]]) -> tuple[Recorder, dict[str, Any]]:
    """An order of these lines, and the shop's answer."""
    from orders import payments  # noqa: PLC0415 - needs Django to be set up

    recorder, post = Recorder(), payments.gateway.post

    def pay(path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        recorder.add(False, ("POST", body))
        return post(path, body, key)

    payments.gateway.post = pay  # type: ignore[method-assign]
    try:
        with connection.execute_wrapper(recorder.statement):
            body = json.dumps(CUSTOMER | {"lines": lines})
            answer = Client().post("/api/orders", body, content_type="application/json", HTTP_HOST="127.0.0.1")
    finally:
        payments.gateway.post = post  # type: ignore[method-assign]
    return recorder, answer.json()


class Order:
    """A recorded order that can be repeated."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        recorder, self.answer = record(lines)
        self.parts, self.number = recorder.parts, self.answer["number"]
        texts = json.dumps([step for _, steps in self.parts for step in steps], default=str)
        self.ids = set(IDS.findall(texts))
        self.pattern = re.compile("|".join([str(self.number), self.answer["token"], *self.ids]))

    def repeat(self, database: psycopg.Connection, gateway: urllib3.PoolManager) -> dict[str, Any]:
        number = 10_000_000 + secrets.randbelow(90_000_000)
        fresh = {str(self.number): str(number), self.answer["token"]: secrets.token_urlsafe(24)}
        fresh |= {id: str(uuid.uuid4()) if "-" in id else uuid.uuid4().hex for id in self.ids}
        for atomic, steps in self.parts:
            with database.transaction() if atomic else nullcontext():
                for what, values in steps:
                    ours = self.replaced(values, number, fresh)
                    if what == "POST":
                        pay(gateway, ours, number)
                    else:
                        database.execute(what, ours)
        return self.answer | {"number": number, "token": fresh[self.answer["token"]]}

    def replaced(self, value: Any, number: int, fresh: dict[str, str]) -> Any:
        if isinstance(value, str):
            return self.pattern.sub(lambda found: fresh[found[0]], str(value))
        if isinstance(value, list | tuple):
            return type(value)(self.replaced(each, number, fresh) for each in value)
        if isinstance(value, dict):
            return {name: self.replaced(each, number, fresh) for name, each in value.items()}
        return number if type(value) is int and value == self.number else value


def pay(gateway: urllib3.PoolManager, body: dict[str, Any], number: int) -> None:
    url = f"{os.environ['PARTNERS_URL']}/payments/authorizations"
    gateway.request("POST", url, json=body, headers={"Idempotency-Key": f"payment:{number}"})


def application() -> Callable[..., Iterable[bytes]]:
    """A WSGI application that takes orders of load.baskets()."""
    items = Client().get("/api/products?limit=100", HTTP_HOST="127.0.0.1").json()["items"]
    orders = {json.dumps(lines): Order(lines) for lines in load.baskets(items)}
    gateway, local = urllib3.PoolManager(maxsize=10), threading.local()

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        if not hasattr(local, "database"):
            local.database = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
        lines = json.load(environ["wsgi.input"])["lines"] if environ["REQUEST_METHOD"] == "POST" else None
        said = orders[json.dumps(lines)].repeat(local.database, gateway) if lines else {}
        text = json.dumps(said).encode()
        start_response("201 Created", [("Content-Type", "application/json"), ("Content-Length", str(len(text)))])
        return [text]

    return answer
