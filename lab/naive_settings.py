"""The naive shop's settings, with the lab's page."""

from lab.faults.naive.settings import *  # noqa: F403
from lab.faults.naive.settings import INSTALLED_APPS
from lab.settings import ALLOWED_HOSTS, LAB_URL, ROOT_URLCONF  # noqa: F401

INSTALLED_APPS = [*INSTALLED_APPS, "lab"]
