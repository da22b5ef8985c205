"""A setting that would break a promise is an error at boot."""

import pytest
from celery import current_app

from backroom import task
from backroom.ops.checks import check_ops
from backroom.runtime.checks import check_backroom


def nothing() -> None: ...


def nameless(*args: int) -> None: ...


def found() -> list[str]:
    return [error.id for error in check_backroom(None)]


@pytest.fixture
def declared():
    """Declares a task, for this test only."""
    names = []

    def declare(**options):
        def declaration(function):
            names.append("tests.declared")
            return task(name=names[-1], **options)(function)

        return declaration

    yield declare
    for name in names:
        current_app.tasks.pop(name, None)


def test_the_shop_has_no_error():
    assert found() == []


@pytest.mark.parametrize(("grace", "errors"), [(5, ["backroom.E005"]), (30, []), (70, [])])
def test_a_grace_in_which_no_job_could_end_is_an_error(settings, grace, errors):
    settings.BACKROOM_WORKER_GRACE = grace
    assert found() == errors


def test_tasks_that_run_in_the_request_are_an_error(monkeypatch):
    monkeypatch.setitem(current_app.conf, "task_always_eager", True)
    assert found() == ["backroom.E002"]


def test_early_acknowledgements_are_an_error(monkeypatch):
    monkeypatch.setitem(current_app.conf, "task_acks_late", False)
    assert found() == ["backroom.E003"]


def test_a_celery_app_without_the_ledger_is_an_error(monkeypatch):
    monkeypatch.setattr(current_app._get_current_object(), "task_cls", "celery.app.task:Task")
    monkeypatch.setitem(current_app.conf, "task_acks_late", False)  # LedgerCelery sets both of these
    monkeypatch.setitem(current_app.conf, "broker_url", None)
    assert found() == ["backroom.E001"]


def test_another_database_than_postgresql_is_an_error(settings):
    settings.DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3"}}
    assert found() == ["backroom.E006"]


def test_a_task_for_a_queue_without_a_declaration_is_an_error(declared):
    assert declared(queue="nowhere")(nothing).name  # Celery makes it at its first use
    assert found() == ["backroom.E004"]


def test_a_task_whose_parameters_have_no_names_is_an_error(declared):
    assert declared()(nameless).name  # Celery makes it at its first use
    assert found() == ["backroom.E007"]


def test_a_task_whose_parameters_have_no_names_can_not_be_enqueued(declared):
    with pytest.raises(TypeError, match="must have names"):
        declared()(nameless).enqueue(1)


@pytest.mark.parametrize(
    "entry",
    [
        {"task": "no.such.task"},
        {"task": "backroom.purge", "args": (1, 2, 3)},
        {"task": "backroom.purge", "options": {"queue": "nowhere"}},
        {"task": "backroom.purge", "options": {"expires": 60}},
        {"task": "backroom.purge", "options": {"headers": {"slot_deadline": 1}}},
    ],
)
def test_a_schedule_whose_slots_could_not_be_enqueued_is_an_error(monkeypatch, entry):
    monkeypatch.setitem(current_app.conf.beat_schedule, "new", {"schedule": 60, **entry})
    assert found() == ["backroom.E009"]


def test_beat_without_its_app_is_an_error(settings):
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "django_celery_beat"]
    assert found() == ["backroom.E008"]


def test_alerts_without_an_addressee_are_a_warning(settings):
    settings.BACKROOM_ALERT_MAIL_TO = []
    (warning,) = check_ops(None)
    assert (warning.id, "ALERT_MAIL_TO" in warning.hint) == ("backroom.W002", True)
