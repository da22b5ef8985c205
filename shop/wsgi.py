"""The WSGI application that gunicorn serves."""

import os

from django.core.wsgi import get_wsgi_application

from backroom.runtime import broker
from backroom.runtime.checks import check_sessions, log_findings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

application = get_wsgi_application()
broker.warm_up()
log_findings([check_sessions])
