"""`manage.py watcher`: evaluate the alert rules and mail alerts, until SIGTERM."""

import signal

from django.core.management.base import BaseCommand

from backroom.ops.watcher import Watcher
from backroom.runtime.checks import log_findings


class Command(BaseCommand):
    help = "Evaluate the alert rules every few seconds, and mail alerts to BACKROOM_ALERT_MAIL_TO. Run two or more."

    def handle(self, *args: object, **options: object) -> None:
        watcher = Watcher()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: watcher.stop.set())
        log_findings()
        watcher.run()
