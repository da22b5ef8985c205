"""Runs supervisord as a child process: it starts, restarts and stops the processes, each with its grace period.

If this process gets SIGKILL, the kernel sends supervisord SIGTERM, and it stops everything in order.
If supervisord gets SIGKILL too, the kernel sends each process its stop signal (limits: die_with_parent.py).
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from stack import Problem, environment, servers
from stack.processes import Process

CHECKOUT = environment.CHECKOUT
SUPERVISORD = Path(__file__).with_name("supervisord.py")
LONGEST_SOCKET = 90  # bytes; the kernel allows 107, and supervisord adds a suffix while it binds
GONE = ("STOPPED", "EXITED", "FATAL")


def config(socket: Path, processes: Iterable[Process], code: Path = CHECKOUT) -> str:
    """The text of supervisord.conf. `code` is the working folder of the processes.

    Other paths are relative to `var`, because supervisord expands some values twice, also a % in them.
    """
    sections = [
        _section(
            "supervisord",
            nodaemon="true",
            silent="true",
            umask="077",
            logfile="log/supervisord.log",
            pidfile="supervisord.pid",
            childlogdir="log",
            **({"user": "root"} if os.geteuid() == 0 else {}),
        ),
        _section("unix_http_server", file=socket, chmod="0600"),
        _section(
            "rpcinterface:supervisor",
            **{"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
        ),
        _section("supervisorctl", serverurl=f"unix://{socket}"),  # for `make ctl`
    ]
    return "\n".join([*sections, *(_program(process, code) for process in processes)])


def _program(process: Process, code: Path) -> str:
    return _section(
        f"program:{process.name}",
        command=shlex.join(process.command),
        directory=code,
        priority=process.stage,
        autostart="false",  # a stage starts when the one before is ready, which supervisord can't check
        autorestart="true",
        startretries=1_000_000,  # each a second later than the one before; a full disk may last
        stopsignal=process.stop.name.removeprefix("SIG"),
        stopwaitsecs=process.grace,
        # Not `stopasgroup`: a SIGTERM to a worker's pool kills the jobs that a warm shutdown finishes.
        killasgroup="true",
        redirect_stderr="true",
        stdout_logfile=f"log/{process.name}.log",
        stdout_logfile_maxbytes="5MB",
        stdout_logfile_backups=3,
    )


def _section(name: str, **values: Any) -> str:
    lines = (f"{key}={str(value).replace('%', '%%')}" for key, value in values.items())
    return "\n".join([f"[{name}]", *lines, ""])


class Control:
    """A client for a running supervisord, through its socket. Its methods raise SupervisorGone and Refused."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket

    def call(self, method: str, *arguments: Any) -> Any:
        """Call supervisord's XML-RPC interface, on a new connection."""
        transport = SupervisorTransport(serverurl=f"unix://{self.socket}")
        with contextlib.closing(transport):
            server = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
            try:
                return getattr(server.supervisor, method)(*arguments)
            except xmlrpc.client.Fault as fault:
                raise Refused(f"supervisord refused {method} {arguments}: {fault.faultString}") from None
            except (OSError, xmlrpc.client.ProtocolError) as error:
                raise SupervisorGone(str(error)) from error

    def answers(self) -> bool:
        try:
            return bool(self.call("getState"))
        except SupervisorGone:
            return False

    def start(self, names: Iterable[str]) -> None:
        """Start these processes without waiting for them."""
        for name in names:
            self.call("startProcess", name, False)

    def state(self, name: str) -> str:
        """STARTING, RUNNING, BACKOFF, FATAL, STOPPING, STOPPED or EXITED."""
        return self.call("getProcessInfo", name)["statename"]

    def stop(self, stage: Iterable[str]) -> None:
        """Stop these processes together, and wait until all have stopped."""
        stopping = [name for name in stage if self.state(name) not in GONE]
        for name in stopping:
            with contextlib.suppress(Refused):  # it exited a moment ago
                self.call("stopProcess", name, False)
        while any(self.state(name) not in GONE for name in stopping):
            time.sleep(0.05)


class Supervisor(Control):
    """A supervisord that this object starts."""

    def __init__(self, var: Path, processes: Sequence[Process], env: Mapping[str, str], code: Path = CHECKOUT) -> None:
        self.processes = list(processes)
        self.env = dict(env)
        self.logs = environment.private_folder(var / "log")
        too_long = len(os.fsencode(var / "supervisor.sock")) > LONGEST_SOCKET
        self.spare = Path(tempfile.mkdtemp(prefix="backroom-")) if too_long else None
        super().__init__((self.spare or var) / "supervisor.sock")
        file = environment.private_file(var / "supervisord.conf", config(self.socket, self.processes, code))
        command = [*servers.DIE_WITH_PARENT, "TERM", sys.executable, "-I", str(SUPERVISORD), "-c", str(file)]
        with (self.logs / "supervisord.log").open("ab") as log:
            # A session of its own: Ctrl-C goes to the whole foreground group, and would stop all at once.
            self.child = subprocess.Popen(
                command, env=self.env, cwd=var, stdout=log, stderr=log, start_new_session=True
            )

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def close(self) -> None:
        """Stop supervisord, which first stops all running processes in order."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        self.child.wait()
        if self.spare:
            shutil.rmtree(self.spare)


class SupervisorGone(Problem):
    """supervisord died or does not answer."""


class Refused(Problem):
    """supervisord refused a call. The text has its reason."""
