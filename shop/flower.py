"""Flower's Celery app, and its Django settings: no key of the shop, no database, no tasks.

Django finds them here, because this import names them. So Flower needs neither SECRET_KEY nor DATABASE_URL.
"""

import os
import secrets

os.environ["DJANGO_SETTINGS_MODULE"] = __name__

from backroom.observe.redact import redact
from shop.celery import app as app
from shop.environment import FlowerEnvironment
from shop.logs import configuration

env = FlowerEnvironment()
SECRET_KEY = secrets.token_hex()  # for the keys of the limits only
INSTALLED_APPS = ["backroom"]
USE_TZ = True
CELERY_BROKER_URL, BACKROOM_REDIS_URL = env.BROKER_URL, env.REDIS_URL
CELERY_BROKER_TRANSPORT_OPTIONS = {"master_name": env.BROKER_MASTER}
BACKROOM_LIMITS, BACKROOM_CLIENT_HEADER = env.LIMITS, env.CLIENT_HEADER
LOGGING = configuration(env.LOG_FORMAT or ("pretty" if env.DEBUG else "json"), redact)
