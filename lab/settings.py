"""The demo's settings: the shop's, and the lab. Production's know nothing of it, and it is not in the image."""

from django.core.exceptions import ImproperlyConfigured

from shop.settings import *  # noqa: F403
from shop.settings import DEBUG, INSTALLED_APPS

if not DEBUG:
    raise ImproperlyConfigured("The lab breaks the shop on purpose: it is for the demo and never runs without DEBUG.")

INSTALLED_APPS = ["lab", *INSTALLED_APPS]
ROOT_URLCONF = "lab.urls"
LAB_URL = "/lab/"
# Whoever reaches the loopback port may break the demo, so nobody gets here by another name: a page elsewhere whose
# name suddenly points to 127.0.0.1 (DNS rebinding) is answered 400, whatever the environment says.
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
