"""When a daily digest is due: in any zone, on any of the next 400 days, and while beat was down for any time.

To a scan, a zone that changes its rules is like a person who moves to another zone.
"""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketing.digests import LATE, due, first_instant

PROFILE = settings(derandomize=True, database=None, deadline=None)
START = datetime(2026, 11, 27, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
DAYS = 5  # that an example sees
IN_TIME = LATE // QUARTER - 1  # scans after a midnight, of which one must run

outage = st.tuples(st.integers(0, 96 * DAYS), st.integers(1, 96 * 2))  # its first scan, and how many it takes
moved = st.tuples(st.integers(0, 96 * DAYS), st.sampled_from(sorted(available_timezones())))


@PROFILE
@given(
    st.sampled_from(sorted(available_timezones())),
    st.integers(0, 400),
    st.integers(0, 899),
    st.lists(outage, max_size=3),
)
def test_a_local_day_has_one_digest_after_its_first_instant_and_within_six_hours(name, day, late, outages):
    zone = ZoneInfo(name)
    scans = [START + timedelta(days=day, seconds=late) + number * QUARTER for number in range(96 * DAYS)]
    dates = [scan.astimezone(zone).date() for scan in scans]
    down = {number for first, length in outages for number in range(first, first + length)}
    sent: dict[date, int] = {}
    for number, scan in enumerate(scans):
        if number not in down and (today := due(zone, scan, max(sent, default=None))):
            assert today not in sent
            assert dates[number] == today, "it came before that day's first instant"
            assert (scan - LATE - timedelta(seconds=1)).astimezone(zone).date() < today, "it came after six hours"
            sent[today] = number
    for number in range(1, len(scans) - IN_TIME):
        if dates[number] not in dates[:number]:
            up = set(range(number, number + IN_TIME)) - down
            assert (dates[number] in sent) or not up, "it was left out, though beat ran in time"


@PROFILE
@given(st.lists(moved, min_size=1, max_size=6), st.integers(0, 400))
def test_a_change_of_the_zone_brings_no_second_digest_of_a_day(moves, day):
    last, zone = None, ZoneInfo("Europe/Dublin")
    for number in range(96 * DAYS):
        scan = START + timedelta(days=day) + number * QUARTER
        zone = ZoneInfo(dict(moves).get(number, zone.key))
        if today := due(zone, scan, last):
            assert last is None or today > last
            assert scan.astimezone(zone).date() == today
            last = today


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        ("Europe/Dublin", "2027-01-01", "2027-01-01T00:00"),
        ("Asia/Kathmandu", "2027-01-01", "2026-12-31T18:15"),
        ("Australia/Lord_Howe", "2027-01-01", "2026-12-31T13:00"),
        ("Australia/Lord_Howe", "2027-07-01", "2027-06-30T13:30"),
        ("America/Santiago", "2027-09-05", "2027-09-05T04:00"),  # the day begins at one o'clock
        ("Asia/Beirut", "2027-03-28", "2027-03-27T22:00"),  # as above
        ("America/Havana", "2027-11-07", "2027-11-07T04:00"),  # midnight comes again an hour later
    ],
)
def test_a_day_begins_at_its_first_instant_where_clocks_change_at_midnight(zone, day, begins):
    place, today, start = ZoneInfo(zone), date.fromisoformat(day), datetime.fromisoformat(begins).replace(tzinfo=UTC)
    assert first_instant(place, today) == start
    assert due(place, start - timedelta(seconds=1), today - timedelta(days=1)) is None
    assert due(place, start, today - timedelta(days=1)) == today


def test_each_of_400_days_in_each_zone_begins_when_its_date_does():
    for name in available_timezones():
        zone = ZoneInfo(name)
        for number in range(400):
            today = START.date() + timedelta(days=number)
            begins = first_instant(zone, today)
            assert begins.astimezone(zone).date() == today
            assert (begins - timedelta(seconds=1)).astimezone(zone).date() < today


def test_the_second_midnight_of_a_night_brings_no_second_digest():
    havana, today = ZoneInfo("America/Havana"), date(2027, 11, 7)
    again = datetime(2027, 11, 7, 5, tzinfo=UTC)
    assert again.astimezone(havana).replace(tzinfo=None) == datetime(2027, 11, 7)
    assert due(havana, again, today) is None


def test_a_digest_comes_late_for_six_hours_and_then_not_at_all():
    dublin, today = ZoneInfo("Europe/Dublin"), date(2027, 1, 5)
    midnight = datetime(2027, 1, 5, tzinfo=UTC)
    assert due(dublin, midnight + LATE, None) == today
    assert due(dublin, midnight + LATE + timedelta(seconds=1), None) is None
