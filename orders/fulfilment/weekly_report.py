"""The sales of one week as a PDF with charts, mailed to each staff member who asked for it. A week begins on Monday, in
UTC. The limit: each mail renders it anew, so a cancellation in between changes the next one's."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import Count, Sum
from django.db.models.functions import TruncDate
from django.urls import reverse

from catalog.templatetags.money import money
from notifications import mail
from orders.fulfilment.pdf import SELLER, render
from orders.fulfilment.sales_report import best_sellers, paid_orders
from orders.models import WeeklyReader

WEEKS = 13  # of the long chart, the report's own the last
WEEK, DAY = timedelta(weeks=1), timedelta(days=1)


def monday(day: date) -> date:
    """That of the day's week."""
    return day - timedelta(days=day.weekday())


def send(user_id: int, week: date) -> None:
    """Mail the report of the week that begins on this Monday, unless its reader has left or may no longer see sales."""
    reader = WeeklyReader.objects.select_related("user").filter(user=user_id).first()
    if reader is None or not WeeklyReader.may_be(reader.user) or not reader.user.email:
        return
    found = report(week)
    mail.send(
        key=f"weekly:{week}-{user_id}",
        to=reader.user.email,
        subject=f"{found['title']}: {found['facts'][0][1]}",
        template="orders/mail/weekly",
        context={
            "report": found,
            "url": settings.SITE_URL + reverse("admin:orders_weeklyreader_changelist"),
        },
        attachments=[(f"sales-{week:%G-W%V}.pdf", render("weekly.typ", found), "application/pdf")],
        person=str(user_id),
    )


def report(week: date) -> dict[str, Any]:
    """What the template prints: strings, and for each bar its share of the longest one, 0 to 1."""
    days = _days(week - (WEEKS - 1) * WEEK, week + WEEK)
    weeks = [week - (WEEKS - number) * WEEK for number in range(1, WEEKS + 1)]
    sums = [_sum(days, each) for each in weeks]
    (revenue, orders), (before, orders_before) = sums[-1], sums[-2]
    average, average_before = (_average(*each) for each in (sums[-1], sums[-2]))
    sellers = best_sellers(paid_orders(week, week + WEEK))
    return {
        "seller": SELLER,
        "made_at": int(_start(week + WEEK).timestamp()),
        "title": f"Sales of week {week:%-V, %G}",
        "period": f"{week:%-d %B} to {week + 6 * DAY:%-d %B %Y}, UTC",
        "facts": [
            ["Revenue", money(revenue), _change(revenue, before)],
            ["Orders paid", f"{orders:,}", _change(Decimal(orders), Decimal(orders_before))],
            ["Average order", money(average), _change(average, average_before)],
        ],
        "days": _bars(
            (f"{day:%a}", [days.get(day - WEEK, _NONE)[0], days.get(day, _NONE)[0]])
            for day in (week + number * DAY for number in range(7))
        ),
        "weeks": _bars((f"{at:%-d %b}", [sum]) for at, (sum, _) in zip(weeks, sums, strict=True)),
        "products": _bars((f"{each['name']} ({each['unit']})", [each["revenue"]]) for each in sellers),
    }


_NONE = (Decimal(0), 0)


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _days(begin: date, end: date) -> dict[date, tuple[Decimal, int]]:
    """The revenue and the number of orders of each day that has any."""
    found = paid_orders(begin, end).annotate(day=TruncDate("paid_at", tzinfo=UTC)).order_by().values("day")
    return {each["day"]: (each["sum"], each["count"]) for each in found.annotate(sum=Sum("total"), count=Count("pk"))}


def _sum(days: dict[date, tuple[Decimal, int]], week: date) -> tuple[Decimal, int]:
    found = [days.get(week + number * DAY, _NONE) for number in range(7)]
    return sum((revenue for revenue, _ in found), Decimal(0)), sum(count for _, count in found)


def _average(revenue: Decimal, count: int) -> Decimal:
    return revenue / count if count else Decimal(0)


def _change(now: Decimal, before: Decimal) -> str:
    return f"{(now / before - 1) * 100:+.0f} % on the week before" if before else "none in the week before"


def _bars(rows: Iterable[tuple[str, list[Any]]]) -> list[dict[str, Any]]:
    """Of labels and amounts, of which the last is written at its bar."""
    found = list(rows)
    longest = max((amount for _, amounts in found for amount in amounts), default=0) or 1
    return [
        {"label": label, "text": money(amounts[-1]), "parts": [float(amount / longest) for amount in amounts]}
        for label, amounts in found
    ]
