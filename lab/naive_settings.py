"""The naive shop's settings, with the lab's page."""

from lab.faults.naive.settings import *  # noqa: F403
from lab.faults.naive.settings import INSTALLED_APPS
from lab.settings import ALLOWED_HOSTS as ALLOWED_HOSTS
from lab.settings import LAB_URL as LAB_URL
from lab.settings import ROOT_URLCONF as ROOT_URLCONF

INSTALLED_APPS = [*INSTALLED_APPS, "lab"]
