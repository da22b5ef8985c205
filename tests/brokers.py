"""The brokers of a test run: real servers, which stack/brokers.py starts."""

from stack.broker import Missing
from stack.brokers import MAKERS, running

__all__ = ["MAKERS", "Missing", "running"]
