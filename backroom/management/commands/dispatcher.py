"""`manage.py dispatcher`: publish what is due, rescue what was lost, until SIGTERM."""

import logging
import os
import signal
from typing import Any

from django.core.management.base import BaseCommand

from backroom.runtime.dispatcher import Dispatcher

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Publish the jobs that are due and give back those that were lost. Run as many as you like."

    def handle(self, *args: Any, **options: Any) -> None:
        dispatcher = Dispatcher()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: dispatcher.stop.set())
        log.info("dispatcher %d is ready", os.getpid())
        dispatcher.run()
