"""`manage.py lab`: the process that does what the lab's page wishes, until SIGTERM. The demo starts it."""

import signal
from typing import Any

from django.core.management.base import BaseCommand

from lab.runner import Conductor


class Command(BaseCommand):
    help = "Break the demo as its page /lab/ wishes, and put it right again."

    def handle(self, *args: Any, **options: Any) -> None:
        conductor = Conductor()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: conductor.stop.set())
        conductor.run()
