"""Starts every process of the shop, waits until it is ready, and stops it in order."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import kombu
import psycopg

from stack import Problem, environment, ports, processes, readiness, servers, signals, terminal
from stack.processes import Process
from stack.supervisor import CHECKOUT, GONE, Supervisor, SupervisorGone


@contextlib.contextmanager
def running(
    var: Path,
    numbers: Mapping[str, int],
    given: Mapping[str, str],
    shop: Callable[[Mapping[str, str]], list[Process]] = processes.shop,
    code: Path = CHECKOUT,
) -> Iterator[Supervisor]:
    """Run the shop during the block. `given` may name the user's own servers, `code` the folder of another release.

    Writes the file `env` of the var folder. Raises a Problem if the shop can't start.
    """
    with environment.locked(var):
        ports.check_free({name: port for name, port in numbers.items() if not given.get(_server(name))})
        env = environment.build(var, numbers, given)
        embedded = _embedded_servers(var, numbers, given)
        _check_given_servers(given)
        environment.write(var, env)
        supervisor = Supervisor(var, [*embedded, *shop(env)], {**os.environ, **env}, code)
        try:
            _start(supervisor, embedded)
            yield supervisor
        finally:
            _stop(supervisor)


def _server(port: str) -> str:
    """The variable that replaces this port, if any: with DATABASE_URL, DATABASE_PORT is not used."""
    return port.replace("_PORT", "_URL") if port in ("DATABASE_PORT", "BROKER_PORT") else ""


def _embedded_servers(var: Path, numbers: Mapping[str, int], given: Mapping[str, str]) -> list[Process]:
    embedded = []
    if not given.get("DATABASE_URL"):
        servers.prepare_postgres(var)
        embedded.append(processes.postgres(var, numbers["DATABASE_PORT"]))
    if not given.get("BROKER_URL"):
        servers.prepare_valkey(var, numbers["BROKER_PORT"])
        embedded.append(processes.valkey(var))
    return embedded


def _check_given_servers(given: Mapping[str, str]) -> None:
    if database := given.get("DATABASE_URL"):
        try:
            psycopg.connect(database, connect_timeout=5).close()
        except psycopg.Error as error:
            raise Problem(f"DATABASE_URL: {str(error).splitlines()[0]}") from None
    options = {"master_name": given.get("BROKER_MASTER") or "mymaster"}
    for name in ("BROKER_URL", "REDIS_URL"):
        if address := given.get(name):
            try:
                with kombu.Connection(address, connect_timeout=5, transport_options=options) as connection:
                    connection.ensure_connection(max_retries=1, timeout=5)
            except Exception as error:  # each transport (redis, amqp, boto) raises its own
                raise Problem(f"{name}: {str(error) or type(error).__name__}") from None


def _wait(supervisor: Supervisor, group: Sequence[Process], since: float) -> None:
    checks = readiness.checks(supervisor.env)
    for process in group:
        with terminal.step(process.name, since=since):
            readiness.wait(supervisor, process.name, checks.get(process.name))


def _start(supervisor: Supervisor, embedded: Sequence[Process]) -> None:
    """Start the servers, make the tables, then start the rest together, which uses every core."""
    readiness.until_answering(supervisor)
    started = time.monotonic()
    supervisor.start(process.name for process in embedded)
    _wait(supervisor, embedded, started)
    with terminal.step("tables and products"):
        _prepare(supervisor.env)
    others = [process for process in supervisor.processes[len(embedded) :] if not process.standby]
    started = time.monotonic()
    supervisor.start(process.name for process in others)
    _wait(supervisor, others, started)


def _prepare(env: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "stack.prepare"]
    done = subprocess.run(
        command, env=environment.of_owner(env), cwd=CHECKOUT, capture_output=True, text=True, start_new_session=True
    )
    output = done.stdout + done.stderr
    log = environment.private_file(Path(env["BACKROOM_VAR"]) / "log" / "prepare.log", output)
    if done.returncode:
        _, _, last_frame = output.rpartition("\n  ")  # the error follows it
        why = last_frame.partition("\n")[2].strip() or output.strip() or f"exit code {done.returncode}"
        raise Problem(f"tables and products: {why}\n(full log: {log})")


def _stop(supervisor: Supervisor) -> None:
    signals.ignore_repeats()
    if supervisor.answers():
        with contextlib.suppress(SupervisorGone):  # it was killed: then the kernel stops the processes
            _stop_in_order(supervisor)
    supervisor.close()


def _stop_in_order(supervisor: Supervisor) -> None:
    terminal.say("\nStopping in order; running jobs finish first.")
    backwards = sorted(supervisor.processes, key=lambda process: -process.stage)
    for _, stage in groupby(backwards, key=lambda process: process.stage):
        names = [process.name for process in stage if supervisor.state(process.name) not in GONE]
        if not names:
            continue
        shown = dict.fromkeys(name.split("-")[0] for name in names)  # one line for the three workers
        with terminal.step(", ".join(shown), done="stopped"):
            supervisor.stop(names)
