"""`manage.py watcher`: call for a person when something is wrong, until SIGTERM."""

import signal
from typing import Any

from django.core.management.base import BaseCommand

from backroom.ops.watcher import Watcher


class Command(BaseCommand):
    help = "Watch the back room by the rules of backroom/ops/rules.py and mail what is wrong. Run as many as you like."

    def handle(self, *args: Any, **options: Any) -> None:
        watcher = Watcher()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: watcher.stop.set())
        watcher.run()
