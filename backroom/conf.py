"""The library's settings. Each is a Django setting with the prefix BACKROOM_, and has a default here."""

from typing import Any

from django.conf import settings

DEFAULTS: dict[str, Any] = {
    "WORKER_GRACE": 70,  # seconds from SIGTERM to the SIGKILL of the workers' supervisor
    "DEPLOY_WINDOW": 600,  # seconds for which a job waits that no running release knows
    "SLOT_DEADLINE": None,  # seconds after which a slot of the schedule is skipped; None: it fires however late
    "RETENTION_DAYS": 30,  # after which finished jobs are deleted; dead letters stay
    "PARTNERS_URL": "",  # the address below which partners are called that have none of their own
    "PARTNER_RATES": {},  # partner: calls a second allowed to the whole fleet; a partner not named has no breaker
    "QUEUE_OBJECTIVES": {},  # queue: seconds for which a job may be due before an alert
    "ALERT_MAIL_TO": [],  # addresses
    "CONTEXT_IDS": ("request_id",),  # the ids that a job takes with it from the request's log lines
    "SITE_URL": "",  # of this site, for links in alert mails
    "FLOWER_URL": "",  # of Flower, for links on the pages
}


class Conf:
    """`conf.WORKER_GRACE` is settings.BACKROOM_WORKER_GRACE, or the default."""

    def __getattr__(self, name: str) -> Any:
        return getattr(settings, f"BACKROOM_{name}", DEFAULTS[name])


conf = Conf()
