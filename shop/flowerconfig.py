"""Flower in production: behind a password, read-only, and keeping its state across a restart.

Flower runs this file (--conf) and takes the names that are its own options. docs/operations.md compares it with /ops/.
"""

import sys

from flower.views import BaseHandler
from flower.views.monitor import Metrics
from tornado.web import authenticated

from shop.environment import FlowerEnvironment
from shop.flower_sign_in import limited

env = FlowerEnvironment()
basic_auth = env.FLOWER_BASIC_AUTH
if not all(len(account.partition(":")[2]) >= 12 for account in basic_auth or [""]):
    sys.exit("FLOWER_BASIC_AUTH should be user:password, of 12 characters or more: Flower shows every job.")

read_only = env.FLOWER_READ_ONLY  # otherwise Flower can revoke tasks, and stop and resize workers
persistent = True
state_save_interval = 60_000  # ms; a killed Flower loses what came since
max_tasks = 10_000  # in memory, 4.6 KiB each

# Flower protects all pages but this one, which shows the names of workers and tasks and their failure rates.
Metrics.get = authenticated(Metrics.get)
BaseHandler.get_current_user = limited(BaseHandler.get_current_user)
