"""The checklist shop's settings, with the lab's page."""

from lab.faults.naive.checklist import *  # noqa: F403
from lab.naive_settings import ALLOWED_HOSTS, INSTALLED_APPS, LAB_URL, ROOT_URLCONF  # noqa: F401
