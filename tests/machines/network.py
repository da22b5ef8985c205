"""Machines as network namespaces, on a switch that is a namespace, too: no rule of this machine's own firewall holds in
it. Each has an address, and a cable on which packets get lost, wait, or never arrive.

A cut drops packets where they arrive, so no end gets an RST or an error, as behind a dead router.
"""

import os
import shlex
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from typing import Self

from stack import Problem

OUTSIDE = "outside"  # this machine: the customers, and who looks
DELAYED = "netem delay 100ms 30ms"
QUEUED = "tbf rate 512kbit burst 8kb latency 200ms"  # where the kernel has no netem: packets wait behind each other
LOST = ("-m", "statistic", "--mode", "random", "--probability")

Link = tuple[str, str]


def run(*command: str) -> str:
    """The output of a command. Raises Problem."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Problem(f"{shlex.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


class Network:
    """The machines of these names, during a `with` block."""

    def __init__(self, machines: Iterable[str]) -> None:
        self.tag = f"bm{os.getpid()}"  # a device's name has 15 characters
        base = f"198.18.{os.getpid() % 256}"  # a range for tests of networks (RFC 2544)
        self.addresses = {name: f"{base}.{number}" for number, name in enumerate((OUTSIDE, *machines), 1)}
        self.spaces = {name: f"{self.tag}-{name}" for name in self.addresses if name != OUTSIDE}
        self.switch, self.firewall, self.slowness = f"{self.tag}-switch", "iptables", ""

    def __enter__(self) -> Self:
        try:
            for space in (self.switch, *self.spaces.values()):
                run("ip", "netns", "add", space)
            run("ip", "-n", self.switch, "link", "add", "bridge", "up", "type", "bridge")
            for number, name in enumerate(self.addresses):
                self._plug(f"port{number}", name)
            self.firewall = next(filter(self._works, ("iptables", "iptables-legacy")), "iptables")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for command in (("link", "delete", self.tag), *(("netns", "delete", each) for each in self.spaces.values())):
            with suppress(Problem):
                run("ip", *command)
        with suppress(Problem):
            run("ip", "netns", "delete", self.switch)

    def _plug(self, port: str, name: str) -> None:
        """A cable between a port of the switch and a machine."""
        device, cable = self._device(name), ("type", "veth", "peer", "name", port, "netns", self.switch)
        run(*self._ip(name), "link", "add", device, *cable)
        run("ip", "-n", self.switch, "link", "set", port, "master", "bridge", "up")
        run(*self._ip(name), "address", "add", f"{self.addresses[name]}/24", "dev", device)
        for each in (device, *(["lo"] if name != OUTSIDE else [])):
            run(*self._ip(name), "link", "set", each, "up")

    def _device(self, name: str) -> str:
        return self.tag if name == OUTSIDE else "eth0"

    def _ip(self, name: str) -> list[str]:
        return ["ip"] if name == OUTSIDE else ["ip", "-n", self.spaces[name]]

    def entry(self, name: str) -> list[str]:
        """A command's prefix that runs it on this machine."""
        return ["nsenter", f"--net=/run/netns/{self.spaces[name]}"]

    def _works(self, firewall: str) -> bool:
        with suppress(Problem, OSError):
            return bool(run(*self.entry(next(iter(self.spaces))), firewall, "-w", "-S"))
        return False

    def _drop(self, name: str, *packets: str) -> None:
        run(*self.entry(name), self.firewall, "-w", "-A", "INPUT", "-i", "eth0", *packets, "-j", "DROP")

    def cut(self, *links: Link) -> None:
        """Let no packet pass between these machines, either way."""
        for one, other in links:
            for here, there in ((one, other), (other, one)):
                self._drop(here, "-s", self.addresses[there])

    def lose(self, name: str, share: float) -> None:
        """Let this share of all packets to a machine get lost."""
        self._drop(name, *LOST, str(share))

    def slow(self, name: str) -> None:
        """Let all packets of a machine wait. `slowness` says how."""
        device = ("qdisc", "replace", "dev", "eth0", "root")
        for slowness in (DELAYED, QUEUED):
            with suppress(Problem):
                run("tc", "-n", self.spaces[name], *device, *slowness.split())
                self.slowness = slowness
                return
        raise Problem("this kernel has neither netem nor tbf")

    def heal(self) -> None:
        """Let all packets pass."""
        for name, space in self.spaces.items():
            run(*self.entry(name), self.firewall, "-w", "-F", "INPUT")
            with suppress(Problem):  # there is none
                run("tc", "-n", space, "qdisc", "delete", "dev", "eth0", "root")
