"""Schedules in the hands of staff: who may change and run them, the entries that are refused, and the audit log."""

import json
import re
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection, transaction
from django.db.models import ProtectedError
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask

from backroom import schedules, task
from backroom.ledger.models import Job
from backroom.ops.models import AuditEntry
from tests.integration.sick_database import a_session_waits
from tests.integration.staff import customer, operator, reader, text
from tests.waiting import until

pytestmark = pytest.mark.django_db

ADMIN = "/admin/django_celery_beat"
TOMORROW = {"expires_0": f"{timezone.now() + timedelta(days=1):%Y-%m-%d}", "expires_1": "00:00"}


@task(name="tests.report", key="report:{day}")
def report(day: str = "today") -> None:
    pass


@task(name="tests.only_report", unique=("only report", "while live"), duplicate="refuse")
def only_report() -> None:
    pass


@pytest.fixture
def entry() -> PeriodicTask:
    crontab, _ = CrontabSchedule.objects.get_or_create(minute="0", hour="1")
    return PeriodicTask.objects.create(name="the report", task="tests.report", crontab=crontab)


def staff(*permissions: str) -> Client:
    """Staff with these permissions for django-celery-beat."""
    user = User.objects.create(username="-".join(permissions), is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label="django_celery_beat", codename__in=permissions)
    )
    client = Client()
    client.force_login(user)
    return client


def viewer() -> Client:
    return staff("view_periodictask")


def editor() -> Client:
    return staff(
        *(f"{verb}_{what}" for verb in ("view", "change", "delete") for what in ("periodictask", "crontabschedule"))
    )


def act(client: Client, action: str, *objects, **more: str):
    model = objects[0]._meta.model_name
    form = {"action": action, "_selected_action": [each.pk for each in objects], **more}
    return client.post(f"{ADMIN}/{model}/", form, follow=True)


def form(entry: PeriodicTask, **changes: object) -> dict[str, object]:
    """What the admin's form sends for this entry."""
    kept = {name: getattr(entry, name) for name in ("name", "task", "args", "kwargs", "headers")}
    return kept | {"crontab": entry.crontab_id, "enabled": "on"} | changes


def logged() -> list[tuple[str, str]]:
    return list(AuditEntry.objects.order_by("id").values_list("verb", "what"))


@pytest.mark.parametrize("action", ["enable_tasks", "disable_tasks", "toggle_tasks", "run_tasks", "delete_selected"])
def test_who_may_only_view_schedules_can_not_run_disable_or_delete_them(entry, action):
    PeriodicTask.objects.filter(pk=entry.pk).update(enabled=action != "enable_tasks")
    before = PeriodicTask.objects.values().get(pk=entry.pk)
    act(viewer(), action, entry, post="yes")
    assert PeriodicTask.objects.values().get(pk=entry.pk) == before
    assert not Job.objects.exists()
    assert logged() == []


def test_each_action_of_the_admin_is_in_the_audit_log(entry):
    client = editor()
    for action in "run_tasks", "disable_tasks", "disable_tasks", "enable_tasks", "toggle_tasks":
        act(client, action, entry)
    client.post(f"{ADMIN}/periodictask/{entry.pk}/change/", form(entry, description="x"))
    act(client, "delete_selected", entry, post="yes")
    said = f"periodic task {entry}"
    verbs = ["disabled", "enabled", "disabled", "changed", "deleted"]
    assert logged() == [("ran", "schedule the report"), *((verb, said) for verb in verbs)]
    assert [str(id) for id in AuditEntry.objects.earliest("id").jobs] == [str(Job.objects.get().id)]


def test_an_entry_enabled_again_does_not_run_the_slots_of_the_time_between(entry):
    PeriodicTask.objects.update(
        enabled=False, last_run_at=datetime(2020, 1, 1, tzinfo=UTC), date_changed="2020-01-01T00:00Z"
    )
    before = timezone.now()
    act(editor(), "enable_tasks", entry)
    entry.refresh_from_db()
    assert entry.enabled
    assert (entry.last_run_at or entry.date_changed) >= before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exchange": "x"}, "a job has no such option"),
        ({"priority": 3}, "a job has no such option"),
        ({"expires_0": "2020-01-01", "expires_1": "00:00"}, "enter a time to come"),
        (TOMORROW | {"start_time_0": "2999-01-01", "start_time_1": "00:00"}, "after its start"),
        ({"task": "celery.backend_cleanup"}, "Choose a task of the project."),
        ({"task": ""}, "Choose a task of the project."),
        ({"crontab": ""}, "One of clocked, interval, crontab"),
        ({"queue": "nowhere"}, "no queue &#x27;nowhere&#x27;"),
        ({"task": "no.such"}, "there is no task &#x27;no.such&#x27;"),
        ({"args": "[1, 2]"}, "too many positional arguments"),
        ({"args": "[1]"}, "tests.report takes day: str, not 1"),
        ({"args": '{"day": 1}'}, "args is not a JSON array"),
        ({"kwargs": "[1]"}, "kwargs is not a JSON object"),
        ({"args": "[" * 20_000}, "nested too deep"),
        ({"headers": "[]"}, "headers is not a JSON object"),
        ({"headers": "x"}, "headers is not JSON"),
        ({"headers": '{"slot_deadline": "1 h"}'}, "slot_deadline is null or a number of seconds"),
        ({"headers": '{"missed_slots": "never"}'}, "missed_slots is one of once late"),
        ({"headers": '{"slot_deadline": 1}'}, "60 or more"),
        ({"headers": '{"slot_dedline": 60}'}, "did you mean slot_deadline"),
        ({"headers": '{"missed_slot": "skip"}'}, "did you mean missed_slots"),
        ({"headers": '{"slot_deadline": 1e11}'}, "ten years at most"),
        ({"headers": '{"slot_deadline": Infinity}'}, "ten years at most"),
    ],
)
def test_an_entry_that_the_ledger_can_not_enqueue_is_refused_in_the_form(entry, changes, words):
    response = editor().post(f"{ADMIN}/periodictask/{entry.pk}/change/", form(entry, **changes))
    errors = " ".join(re.findall('class="errorlist.*?</ul>', response.content.decode(), re.DOTALL))
    assert errors.count(words) == 1, errors
    assert PeriodicTask.objects.get(pk=entry.pk).date_changed == entry.date_changed


NEVER = "(Invalid crontab|unable to rollover)"  # Celery 5.7, and before


def test_a_time_that_never_occurs_is_refused_in_both_forms_and_named_first_on_the_page(entry):
    client, time = editor(), {"minute": "0", "hour": "0", "day_of_month": "31", "month_of_year": "2"}
    for model, row, sent in [
        ("crontabschedule", entry.crontab, time | {"day_of_week": "*", "timezone": "UTC"}),
        ("periodictask", entry, form(entry)),
    ]:
        said = client.post(f"{ADMIN}/{model}/{row.pk}/change/", sent).content.decode()
        assert len(re.findall(f"would never run: {NEVER}", said)) == 1
        CrontabSchedule.objects.filter(pk=entry.crontab_id).update(**time)  # as a script does
    assert re.search(f"Schedule the report does not run: {NEVER}", text(reader().get("/ops/")))
    assert client.post(f"{ADMIN}/periodictask/{entry.pk}/change/", form(entry, enabled="")).status_code == 302


def test_an_entry_with_a_deadline_and_an_end_is_saved(entry):
    changes = {"headers": '{"slot_deadline": 3600}', "expires_0": "2030-01-01", "expires_1": "00:00"}
    response = editor().post(f"{ADMIN}/periodictask/{entry.pk}/change/", form(entry, **changes))
    assert response.status_code == 302
    entry.refresh_from_db()
    assert (json.loads(entry.headers), entry.expires.year) == ({"slot_deadline": 3600}, 2030)


def test_the_jobs_of_an_entry_may_expire(entry):
    client = editor()
    assert client.post(f"{ADMIN}/periodictask/{entry.pk}/change/", form(entry, expire_seconds=60)).status_code == 302
    act(client, "run_tasks", entry)
    assert Job.objects.get().expires_at


def test_a_crontab_is_not_deleted_while_an_entry_uses_it(entry):
    client = editor()
    act(client, "delete_selected", entry.crontab, post="yes")
    page = client.post(f"{ADMIN}/crontabschedule/{entry.crontab_id}/delete/", {"post": "yes"})
    assert "the report" in text(page)
    with pytest.raises(ProtectedError, match="is the time of the report"), transaction.atomic():
        CrontabSchedule.objects.all().delete()
    assert PeriodicTask.objects.filter(pk=entry.pk).exists()
    assert logged() == []
    entry.delete()
    client.post(f"{ADMIN}/crontabschedule/{entry.crontab_id}/delete/", {"post": "yes"})
    assert not CrontabSchedule.objects.filter(pk=entry.crontab_id).exists()


@pytest.mark.django_db(transaction=True)
def test_staff_who_saves_an_entry_while_beat_fires_it_does_not_make_it_fire_again(entry):
    client = editor()
    fired = timezone.now() + timedelta(days=1)
    save = threading.Thread(
        target=lambda: (client.post(f"{ADMIN}/periodictask/{entry.pk}/change/", form(entry)), connection.close())
    )
    with transaction.atomic():
        PeriodicTask.objects.filter(pk=entry.pk).update(last_run_at=fired)
        save.start()
        until(a_session_waits)
    save.join()
    entry.refresh_from_db()
    assert entry.last_run_at == fired


def run(client: Client, entry: PeriodicTask, why: str = "the printer was out of paper"):
    return client.post(f"/ops/schedules/{entry.pk}/run/", {"why": why}, follow=True)


def test_an_operator_runs_a_schedule_now(entry):
    assert f"/ops/schedules/{entry.pk}/run/" in operator().get("/ops/").content.decode()
    assert "One job of tests.report" in text(operator().get(f"/ops/schedules/{entry.pk}/run/"))
    assert "Enter a reason" in text(run(operator(), entry, why=" "))
    response = run(operator(), entry)
    job = Job.objects.get()
    assert (job.key, job.state, response.redirect_chain[0][0]) == ("report:today", "ready", f"/ops/jobs/{job.id}/")
    written = AuditEntry.objects.get()
    assert (written.who, written.verb, written.what) == ("operator", "ran", "schedule the report")
    assert (written.why, written.jobs) == ("the printer was out of paper", [job.id])
    entry.refresh_from_db()
    assert (entry.last_run_at, entry.total_run_count) == (None, 0)


def test_a_job_that_has_the_key_already_is_shown_and_nothing_is_enqueued(entry):
    report.enqueue()
    assert "Nothing was enqueued" in text(run(operator(), entry))
    assert Job.objects.count() == 1
    assert logged() == []


def test_a_job_that_refuses_another_of_its_name_is_shown(entry):
    PeriodicTask.objects.update(task="tests.only_report")
    id = only_report.enqueue()
    assert run(operator(), entry).redirect_chain[0][0] == f"/ops/jobs/{id}/"
    assert f"job {id} has the name" in text(act(editor(), "run_tasks", entry))
    assert (Job.objects.count(), logged()) == (1, [])


def test_an_operator_pauses_and_resumes_a_schedule_with_a_reason(entry):
    PeriodicTask.objects.update(last_run_at=datetime(2020, 1, 1, tzinfo=UTC))
    for verb, other in ("pause", "resume"), ("resume", "pause"):
        assert f"/ops/schedules/{entry.pk}/{verb}/" in operator().get("/ops/").content.decode()
        address = f"/ops/schedules/{entry.pk}/{verb}/"
        assert "Effect" in text(operator().get(address))
        assert "Enter a reason" in text(operator().post(address, {"why": " "}))
        assert f"Schedule the report {verb}d." in text(operator().post(address, {"why": "holidays"}, follow=True))
        assert "is " in text(operator().post(address, {"why": "again"}, follow=True))
        assert reader().post(f"/ops/schedules/{entry.pk}/{other}/", {"why": "w"}).status_code == 403
    assert logged() == [("paused", "schedule the report"), ("resumed", "schedule the report")]
    entry.refresh_from_db()
    assert timezone.now() - entry.last_run_at < timedelta(minutes=1)


def test_a_schedule_whose_only_time_is_over_is_not_resumed(entry):
    """Beat would fire it once more, or though it was paused at its time."""
    past = ClockedSchedule.objects.create(clocked_time=timezone.now() - timedelta(hours=1))
    PeriodicTask.objects.update(crontab=None, clocked=past, one_off=True, enabled=False)
    address = f"/ops/schedules/{entry.pk}/resume/"
    assert "its only time is over" in text(operator().post(address, {"why": "holidays"}, follow=True))
    assert "its only time is over" in text(act(editor(), "enable_tasks", entry))
    assert not schedules.resume("the report")
    entry.refresh_from_db()
    assert (entry.enabled, logged()) == (False, [])
    ClockedSchedule.objects.update(clocked_time=timezone.now() + timedelta(hours=1))
    assert schedules.resume("the report")


@pytest.mark.parametrize(("who", "status"), [(reader, 403), (customer, 403), (Client, 302)])
def test_who_may_not_act_runs_no_schedule(entry, who, status):
    if who is reader:
        assert "/run/" not in reader().get("/ops/").content.decode()
    for response in (
        who().get(f"/ops/schedules/{entry.pk}/run/"),
        who().post(f"/ops/schedules/{entry.pk}/run/", {"why": "w"}),
    ):
        assert response.status_code == status
    assert not Job.objects.exists()


def test_a_schedule_that_can_not_be_read_is_said_and_the_page_stays(entry):
    every = IntervalSchedule.objects.create(every=1, period="hours")
    other = PeriodicTask.objects.create(name="other", task="tests.report", interval=every)
    CrontabSchedule.objects.update(minute="99")
    PeriodicTask.objects.filter(pk=other.pk).update(args="[" * 20_000)
    assert "the report tests.report never unreadable" in text(operator().get("/ops/"))
    assert "other can&#x27;t run" in text(run(operator(), other))
