"""The mail of an alert: straight to the mail server, by no job, no worker and no broker, as those may be what is away.

Its Message-ID is made of rule and time, so that a second copy can be told for one, and the mail that says that it is
over answers the first. It holds names of queues, tasks and partners, and figures: nothing about a person.
"""

import logging
from email.utils import parseaddr
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string

from backroom.ops.models import Alert
from backroom.ops.rules import BY_NAME
from backroom.runtime.conf import conf

log = logging.getLogger(__name__)


def send(alert: Alert) -> bool:
    """Mail that it fired; or, if it has recovered, that it is over. True once the server has taken it: each step of
    the conversation may take settings.EMAIL_TIMEOUT seconds. False if not, which the log explains."""
    if not conf.ALERT_MAIL_TO:
        return False
    first, last = _message_id(alert, "fired"), _message_id(alert, "over")
    says = alert.says.rstrip(".")
    mail = EmailMessage(
        subject=f"Over: {says}" if alert.recovered_at else f"Alert: {says}",
        body=render_to_string("ops/alert_mail.txt", _told(alert)),
        to=conf.ALERT_MAIL_TO,
        headers={"Message-ID": last, "In-Reply-To": first, "References": first}
        if alert.recovered_at
        else {"Message-ID": first},
    )
    mail.extra_headers["Auto-Submitted"] = "auto-generated"
    try:
        mail.send()
    except (OSError, SMTPException, ValueError) as error:  # the last is Django's, of a header that can't be written
        log.warning("an alert could not be mailed, it is tried again: %s", type(error).__name__)
        return False
    return True


def _told(alert: Alert) -> dict[str, object]:
    address = f"{conf.SITE_URL}/ops/alerts/#{alert.rule}"
    return {"alert": alert, "rule": BY_NAME.get(alert.rule), "address": address, "site": conf.SITE_URL}


def _message_id(alert: Alert, what: str) -> str:
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    micros = int(alert.since.timestamp() * 1_000_000)
    return f"<alert.{alert.rule}.{micros:x}.{what}@{domain}>"
