"""The mail of an alert. It goes straight to the mail server, as workers or the broker may be what is down.

Its Message-ID is made of rule and time, so a second copy is recognised, and the recovery mail is a reply to the first.
It holds names of queues, tasks and partners, and numbers; no personal data.
"""

import logging
from email.utils import parseaddr
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.urls import reverse

from backroom.conf import conf
from backroom.ops.models import Alert
from backroom.ops.rules import BY_NAME

log = logging.getLogger(__name__)


def send(alert: Alert) -> bool:
    """Mail that an alert fired, or that it recovered. Returns whether the server accepted it; the log says why not.
    Each step of the SMTP session may take settings.EMAIL_TIMEOUT seconds."""
    if not conf.ALERT_MAIL_TO:
        return False
    first, last = _message_id(alert, "fired"), _message_id(alert, "over")
    says = alert.says.rstrip(".")
    address = conf.SITE_URL and conf.SITE_URL + reverse("ops:health")
    context = {"alert": alert, "rule": BY_NAME.get(alert.rule), "address": address}
    mail = EmailMessage(
        subject=f"Recovered: {says}" if alert.recovered_at else f"Alert: {says}",
        body=render_to_string("ops/alert_mail.txt", context),
        to=conf.ALERT_MAIL_TO,
        headers={"Message-ID": last, "In-Reply-To": first, "References": first}
        if alert.recovered_at
        else {"Message-ID": first},
    )
    mail.extra_headers["Auto-Submitted"] = "auto-generated"
    try:
        mail.send()
    except (OSError, SMTPException, ValueError) as error:  # Django raises the last one for a bad header
        log.warning("an alert could not be mailed, retrying: %s", type(error).__name__)
        return False
    return True


def _message_id(alert: Alert, what: str) -> str:
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    micros = int(alert.since.timestamp() * 1_000_000)
    return f"<alert.{alert.rule}.{micros:x}.{what}@{domain}>"
