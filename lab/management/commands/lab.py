"""`manage.py lab`: the process behind the page /lab/, until SIGTERM. The demo starts it."""

import signal

from django.core.management.base import BaseCommand

from lab.runner import Runner


class Command(BaseCommand):
    help = "Run the experiments that the page /lab/ requests, and return everything to normal after each."

    def handle(self, *args: object, **options: object) -> None:
        runner = Runner()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: runner.stop.set())
        runner.run()
