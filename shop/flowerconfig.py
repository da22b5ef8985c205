"""Flower as in production: behind a password, for looking only, and remembering what it saw across a restart.

Flower itself runs this file (--conf) and takes the names that are options of its own; what they mean stands in Flower's
documentation, and what it is good for beside /ops/ in docs/operations.md.
"""

import sys
from pathlib import Path

from flower.views.monitor import Metrics
from tornado.web import authenticated

from shop.environment import read

env, _ = read(Path(__file__).resolve().parent.parent)
basic_auth = env.list("FLOWER_BASIC_AUTH", default=[])
if not all(account.partition(":")[2] for account in basic_auth or [""]):
    sys.exit("FLOWER_BASIC_AUTH should be user:password: without one Flower shows everything to everybody.")

read_only = env.flag("FLOWER_READ_ONLY", default=True)  # else it revokes jobs, and stops and resizes workers
persistent = True
state_save_interval = 60_000  # ms; what it saw since is forgotten if it is killed
max_tasks = 10_000  # in memory, 4.6 KiB each

# The one page for which Flower asks no password tells the names of workers and tasks, and how often they fail.
Metrics.get = authenticated(Metrics.get)
