"""The periodic tasks, in UTC. Beat copies them into django-celery-beat's tables, where staff can pause them.

Each slot fires once, even with two beats: see backroom/runtime/scheduler.py.
"""

from celery.schedules import crontab

SCHEDULE = {
    "clear expired sessions": {"task": "shop.clear_sessions", "schedule": crontab(minute=5)},
    "delete unverified accounts": {"task": "accounts.delete_unverified", "schedule": crontab(minute=15)},
    "release unpaid reservations": {"task": "orders.release_unpaid", "schedule": crontab(minute="*/10")},
    "reconcile orders with the partners": {"task": "orders.reconcile", "schedule": crontab(minute="5-59/10")},
    "delete old exports": {"task": "accounts.purge_exports", "schedule": crontab(minute=25)},
    "erase old customers": {"task": "orders.erase_old", "schedule": crontab(minute=20)},
    "erase unconfirmed subscriptions": {"task": "marketing.erase_unconfirmed", "schedule": crontab(minute=30)},
    "purge finished jobs": {"task": "backroom.purge", "schedule": crontab(minute=40, hour="*/6")},
    "purge old minutes and alerts": {"task": "backroom.purge_history", "schedule": crontab(minute=50, hour="*/6")},
    "delete orphaned pictures": {"task": "catalog.sweep_media", "schedule": crontab(minute=10, hour=3)},
    "purge old notices": {"task": "notifications.purge", "schedule": crontab(minute=55, hour=2)},
    "find restocked products": {"task": "marketing.find_restocked", "schedule": crontab(minute=25)},
    "enqueue daily digests": {"task": "marketing.enqueue_digests", "schedule": crontab(minute="*/15")},
    "mail the sales report": {"task": "orders.mail_sales_report", "schedule": crontab(minute=0, hour=1)},
}
