"""`manage.py dispatcher`: publish due jobs and rescue lost ones, until SIGTERM."""

import logging
import os
import signal

from django.apps import apps
from django.core.management.base import BaseCommand
from django.utils.module_loading import import_string

from backroom.runtime.checks import log_findings
from backroom.runtime.dispatcher import Dispatcher

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Publish the jobs that are due and requeue those that were lost. Run as many as you like."

    def handle(self, *args: object, **options: object) -> None:
        # An app may give dispatchers a chore by name, in its AppConfig: backroom.ops counts what has ended.
        names = [name for app in apps.get_app_configs() for name in getattr(app, "dispatcher_chores", ())]
        dispatcher = Dispatcher([import_string(name) for name in names])
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: dispatcher.stop.set())
        log_findings()
        log.info("dispatcher %d is ready", os.getpid())
        dispatcher.run()
