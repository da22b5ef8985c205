"""The demo's settings: the shop's, and the lab. Production does not import them, and the image leaves them out."""

from django.core.exceptions import ImproperlyConfigured

from shop.settings import *  # noqa: F403
from shop.settings import DEBUG, INSTALLED_APPS

if not DEBUG:
    raise ImproperlyConfigured("The lab breaks the shop on purpose: it is for the demo and never runs without DEBUG.")

INSTALLED_APPS = ["lab", *INSTALLED_APPS]
ROOT_URLCONF = "lab.urls"
LAB_URL = "/lab/"
# Every client of the loopback port may break the demo. Under any other host name the answer is 400, whatever the
# environment says: else a page elsewhere could reach it with a name that suddenly points to 127.0.0.1 (DNS rebinding).
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
