"""The periodic tasks, in UTC. Beat copies them into django-celery-beat's tables, where staff can pause them.

Each slot fires once, even with two beats: see backroom/runtime/scheduler.py. Each entry says what becomes of slots that
passed without a beat. SKIP: none, as the next one is soon and does all that is left. ONCE: the newest, late. EACH: all
of them, late, as each has a day or a week of its own.
"""

from typing import Any

from celery.schedules import crontab

# Of slots.RULES, which needs Django's settings.
ONCE, EACH, SKIP = "once late", "each late", "skip"


def entry(task: str, missed: str, **time: Any) -> dict[str, Any]:
    """An entry of beat's, at the times of a crontab."""
    return {"task": task, "schedule": crontab(**time), "options": {"headers": {"missed_slots": missed}}}


SCHEDULE = {
    "clear expired sessions": entry("shop.clear_sessions", SKIP, minute=5),
    "delete unverified accounts": entry("accounts.delete_unverified", SKIP, minute=15),
    "release unpaid reservations": entry("orders.release_unpaid", ONCE, minute="*/10"),
    "reconcile orders with the partners": entry("orders.reconcile", ONCE, minute="5-59/10"),
    "delete old exports": entry("accounts.purge_exports", SKIP, minute=25),
    "delete old exports of staff": entry("orders.purge_exports", SKIP, minute=35),
    "erase old customers": entry("orders.erase_old", SKIP, minute=20),
    "erase unconfirmed subscriptions": entry("marketing.erase_unconfirmed", SKIP, minute=30),
    "delete old imports": entry("catalog.purge_imports", ONCE, minute=35, hour=3),
    "purge finished jobs": entry("backroom.purge", ONCE, minute=40, hour="*/6"),
    "purge old minutes and alerts": entry("backroom.purge_history", ONCE, minute=50, hour="*/6"),
    "purge old notices": entry("notifications.purge", ONCE, minute=55, hour=2),
    "delete orphaned pictures": entry("catalog.sweep_media", ONCE, minute=10, hour=3),
    "clean up": entry("shop.clean_up", ONCE, minute=30, hour=3),
    "find restocked products": entry("marketing.find_restocked", ONCE, minute=25),
    "find products that run low": entry("catalog.find_low_stock", SKIP, minute="*/5"),
    "enqueue daily digests": entry("marketing.enqueue_digests", ONCE, minute="*/15"),
    "rebuild the search index": entry("catalog.rebuild_search", ONCE, minute=10, hour=2),
    "rebuild the recommendations": entry("orders.rebuild_recommendations", ONCE, minute=35, hour=2),
    "choose what the home page shows": entry("catalog.warm_home", SKIP, minute=0),
    "sync with the supplier": entry("catalog.sync_supplier", SKIP, minute="3-59/10"),
    "send documents to accounting": entry("orders.plan_accounting", ONCE, minute=30, hour=2),
    "mail the sales report": entry("orders.mail_sales_report", EACH, minute=0, hour=1),
    "mail the weekly reports": entry("orders.enqueue_weekly_reports", EACH, minute=0, hour=5, day_of_week="mon"),
}
