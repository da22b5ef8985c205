"""A setting that would break a promise is an error at boot."""

import re

import pytest
from celery import Task, current_app
from django.core.checks import run_checks
from django.db import connections

from backroom import task
from backroom.conf import SETTINGS, conf
from backroom.ops.checks import check_clients, check_ops
from backroom.runtime.checks import check_backroom
from backroom.runtime.session_checks import LIMITS, check_options
from shop import environment


def nothing() -> None: ...


def nameless(*args: int) -> None: ...


def positional(n, /) -> None: ...


def numbered(number) -> None: ...


def worded(word: str) -> None: ...


async def asynchronous() -> None: ...


def generator():
    yield 1


def found() -> list[str]:
    return [error.id for error in check_backroom(None)]


def celery_setting(monkeypatch, name: str, value: object) -> None:
    """By the name that the shop uses: Celery before 5.7 prefers that to its own."""
    monkeypatch.setitem(current_app.conf.changes, f"CELERY_{name.upper()}", value)


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


def test_a_mistyped_option_of_a_task_is_refused_where_it_is_declared(declared):
    for option, near in ("in_oder", "in_order"), ("dupplicate", "duplicate"), ("soft_timelimit", "soft_time_limit"):
        with pytest.raises(TypeError, match=f"no option {option}: did you mean {near}"):
            declared(**{option: "x"})(nothing)
    declared(autoretry_for=(OSError,), bind=True, time_limit=5)(nothing)
    declared(base=type("Base", (Task,), {"abstract": True, "colour": ""}), colour="red")(nothing)


@pytest.mark.parametrize(("grace", "errors"), [(5, ["backroom.E005"]), (30, []), (70, [])])
def test_a_grace_in_which_no_job_could_end_is_an_error(settings, grace, errors):
    settings.BACKROOM_WORKER_GRACE = grace
    assert found() == errors


def test_every_setting_has_a_default_that_fits(settings):
    for name in SETTINGS:
        if hasattr(settings, f"BACKROOM_{name}"):
            delattr(settings, f"BACKROOM_{name}")
    assert found() == []
    assert conf.DEPLOY_WINDOW == 600


WRONG = {
    "WORKER_GRACE": "70",
    "CANCEL_GRACE": -1,
    "DEPLOY_WINDOW": None,
    "SLOT_DEADLINE": 59,
    "RETENTION_DAYS": 0,
    "PARTNERS_URL": "partners:8100",
    "REDIS_URL": "valkey:6379",
    "PARTNER_RATES": {"mail": 0},
    "LIMITS": {"orders": 30},
    "STRANGERS_ALLOW": "localhost:8100",
    "CLIENT_HEADER": None,
    "QUEUE_OBJECTIVES": {"bulk": "900"},
    "QUEUE_DEPTHS": {"bulk": 0},
    "ALERT_MAIL_TO": "oncall@example.com",
    "REMOTE_CONTROL": "false",
    "CONTEXT_IDS": "request_id",
    "SITE_URL": "shop.example.com",
    "FLOWER_URL": None,
    "JOB_LINKS": "backroom.nowhere.links",
    "DISKS": "/var",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_of_the_library_is_checked(settings, name):
    setattr(settings, f"BACKROOM_{name}", WRONG[name])
    assert "backroom.E005" in found()


def test_a_setting_that_the_library_does_not_have_is_a_warning(settings):
    settings.BACKROOM_DEPLOY_WINDOWS = 60
    assert found() == ["backroom.W006"]


@pytest.mark.parametrize(
    ("name", "value", "id"),
    [
        ("worker_disable_prefetch", False, "E011"),
        ("worker_prefetch_multiplier", 4, "E011"),
        ("broker_transport_options", {"socket_timeout": 3}, "W004"),
        ("broker_transport_options", {"ack_emulation": False}, "W005"),
    ],
)
def test_what_a_worker_and_the_broker_need_is_checked(monkeypatch, name, value, id):
    celery_setting(monkeypatch, name, value)
    assert set(found()) == {f"backroom.{id}"}


@pytest.mark.parametrize(
    ("address", "options", "redis_url", "depths", "ids"),
    [
        ("amqp://127.0.0.1:9", {}, "", {}, ["W001"]),
        ("amqp://127.0.0.1:9", {}, "redis://127.0.0.1:9", {"bulk": 9}, ["W012"]),
        ("sqs://", {"visibility_timeout": 60.0}, "redis://127.0.0.1:9", {}, ["W011"]),
        ("sqs://", {"visibility_timeout": 43_200}, "redis://127.0.0.1:9", {}, []),
        ("sentinel://127.0.0.1:9;sentinel://127.0.0.1:10", {"ack_emulation": False, "socket_timeout": 3}, "", {}, []),
    ],
)
def test_what_another_broker_can_not_do_is_a_warning(monkeypatch, settings, address, options, redis_url, depths, ids):
    celery_setting(monkeypatch, "broker_url", address)
    celery_setting(monkeypatch, "broker_transport_options", options)
    settings.BACKROOM_REDIS_URL, settings.BACKROOM_QUEUE_DEPTHS = redis_url, depths
    assert found() == [f"backroom.{id}" for id in ids]


@pytest.mark.parametrize(("soft", "hard"), [(None, 60), (50, None), (60, 60)])
def test_a_task_that_nothing_ends_is_an_error(declared, monkeypatch, soft, hard):
    celery_setting(monkeypatch, "task_soft_time_limit", soft)
    celery_setting(monkeypatch, "task_time_limit", hard)
    assert declared()(nothing).name  # Celery makes it at its first use
    assert found() == ["backroom.E010"]


def test_tasks_that_run_in_the_request_are_an_error(monkeypatch):
    celery_setting(monkeypatch, "task_always_eager", True)
    assert found() == ["backroom.E002"]


def test_early_acknowledgements_are_an_error(monkeypatch):
    celery_setting(monkeypatch, "task_acks_late", False)
    assert found() == ["backroom.E003"]


def test_a_celery_app_without_the_ledger_is_an_error(monkeypatch):
    monkeypatch.setattr(current_app._get_current_object(), "task_cls", "celery.app.task:Task")
    celery_setting(monkeypatch, "task_acks_late", False)  # LedgerCelery sets both of these
    celery_setting(monkeypatch, "broker_url", None)
    assert found() == ["backroom.E001"]


def test_another_database_than_postgresql_is_an_error(settings):
    settings.DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3"}}
    assert found() == ["backroom.E006"]


def test_a_task_for_a_queue_without_a_declaration_is_an_error(declared):
    assert declared(queue="nowhere")(nothing).name  # Celery makes it at its first use
    assert found() == ["backroom.E004"]


@pytest.mark.parametrize(
    ("function", "key", "why", "hint"),
    [
        (nameless, None, "the ledger keeps arguments by name", "give each parameter a name"),
        (positional, None, "the ledger keeps arguments by name", "give each parameter a name"),
        (asynchronous, None, "a call of an async", "make it a plain function"),
        (generator, None, "a call of an async", "make it a plain function"),
        (numbered, "receipt:{order}", "its key 'receipt:{order}' names no parameter", "correct order"),
        (numbered, "receipt:{number:{order}}", "its key 'receipt:{number:{order}}' names no", "correct order"),
        (numbered, "receipt:{}", "its key 'receipt:{}' names no parameter", "correct {}"),
        (numbered, "receipt:{number", "its key 'receipt:{number' is no format", 'as "receipt:{number}"'),
    ],
)
def test_what_can_not_be_a_job_is_an_error_with_its_way_out_and_can_not_be_enqueued(declared, function, key, why, hint):
    made = declared(key=key)(function)
    assert made.name  # Celery makes it at its first use
    (error,) = check_backroom(None)
    assert (error.id, error.msg.startswith(f"tests.declared: {why}"), hint in error.hint) == (
        "backroom.E007", True, True,
    )  # fmt: skip
    with pytest.raises(TypeError, match=f"^{re.escape(error.msg)}$"):
        made.enqueue(1)


def test_a_unique_name_that_the_arguments_do_not_give_is_an_error(declared):
    made = declared(unique=("reindex:{order}", "while live"))(numbered)
    assert made.name
    assert found() == ["backroom.E007"]
    with pytest.raises(TypeError, match=r"unique name 'reindex:\{order\}' names no parameter"):
        made.call(1)


def test_a_lane_that_names_no_parameter_is_an_error(declared):
    assert declared(in_order="customer:{id}")(numbered).name
    assert found() == ["backroom.E007"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"limit": ("endpoint:{number}", 1), "fair": "tenant:{number}"}, "one lane"),
        ({"limit": "endpoint:{number}"}, "limit is"),
        ({"limit": ("endpoint:{number}", 0)}, "limit is"),
        ({"limit": ("endpoint:{number}", True)}, "limit is"),
        ({"fair": ("tenant:{number}", "8")}, "fair is"),
        ({"in_order": ("customer:{number}", 1)}, "in_order is"),
        ({"dead_blocks": True}, "dead_blocks belongs to in_order"),
    ],
)
def test_lanes_that_make_no_sense_can_not_be_declared(declared, options, why):
    with pytest.raises(TypeError, match=why):
        declared(**options)(numbered)


@pytest.mark.parametrize("wrong", [(), (1, 2), (object(),), ("\0",), ("x",)])
def test_a_refusal_of_arguments_names_the_task(declared, wrong):
    with pytest.raises((TypeError, ValueError), match=r"^tests.declared\b"):
        declared(key="receipt:{number:d}" if wrong == ("x",) else None)(numbered).call(*wrong).check()


def test_an_empty_key_is_refused(declared):
    task = declared(key="{word}")(worded)
    for call in task.call(""), task.using(key="").call("a"):
        with pytest.raises(ValueError, match="its key is empty"):
            call.check()


def test_two_tasks_of_one_name_are_an_error_and_neither_can_be_enqueued(declared, monkeypatch):
    monkeypatch.setattr(current_app, "twins", {})
    first, second = declared()(nothing), declared()(positional)
    assert first.name == second.name
    assert found() == ["backroom.E007"]
    for made in first, second:
        with pytest.raises(TypeError, match=r"two functions are tasks of this name: .*nothing and .*positional"):
            made.enqueue()


def test_a_task_that_writes_no_row_is_an_error(declared):
    assert declared(base=Task)(nothing).name
    assert found() == ["backroom.E013"]


@pytest.mark.parametrize(
    "entry",
    [
        {"task": "no.such.task"},
        {"task": "backroom.purge", "args": (1, 2, 3)},
        {"task": "backroom.purge", "options": {"queue": "nowhere"}},
        {"task": "backroom.purge", "options": {"expires": "60"}},
        {"task": "backroom.purge", "options": {"headers": {"slot_deadline": 1}}},
        {"task": "backroom.purge", "options": {"headers": {"slot_deadlines": 60}}},
    ],
)
def test_a_schedule_whose_slots_could_not_be_enqueued_is_an_error(monkeypatch, entry):
    monkeypatch.setitem(current_app.conf.beat_schedule, "new", {"schedule": 60, **entry})
    assert found() == ["backroom.E009"]


def test_beat_without_its_app_is_an_error(settings):
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "django_celery_beat"]
    assert found() == ["backroom.E008"]


def test_a_database_without_limits_is_a_warning_for_each(monkeypatch):
    assert check_options(None) == []
    monkeypatch.setitem(connections["default"].settings_dict, "OPTIONS", {})
    assert [(found.id, found.msg.split(":")[0]) for found in check_options(None)] == [
        ("backroom.W003", f"DATABASES sets no {name}") for name in LIMITS
    ]


def test_a_database_on_another_machine_whose_link_may_be_cut_without_notice_is_a_warning(monkeypatch):
    its = connections["default"].settings_dict
    monkeypatch.setitem(its, "OPTIONS", {"options": its["OPTIONS"]["options"]})
    for host, warnings in ("db.example", ["backroom.W013"]), ("", []), ("/run/postgresql", []), ("127.0.0.1", []):
        monkeypatch.setitem(its, "HOST", host)
        assert [found.id for found in check_options(None)] == warnings


def test_alerts_without_an_addressee_are_a_warning(settings):
    settings.BACKROOM_ALERT_MAIL_TO = []
    (warning,) = check_ops(None)
    assert (warning.id, "ALERT_MAIL_TO" in warning.hint) == ("backroom.W002", True)


def test_a_proxy_without_its_header_is_a_warning(settings):
    settings.BACKROOM_LIMITS, settings.SECURE_PROXY_SSL_HEADER = {"orders": (1, 1)}, ("HTTP_X_FORWARDED_PROTO", "https")
    assert [warning.id for warning in check_clients(None)] == ["backroom.W008"]
    settings.BACKROOM_CLIENT_HEADER = "X-Real-IP"
    assert check_clients(None) == []


@pytest.mark.parametrize(
    ("name", "value", "warnings"),
    [
        ("STAFF_TOTP", False, ["shop.W001"]),
        ("STAFF_SESSION_HOURS", 25, ["shop.W002"]),
        ("STAFF_IDLE_MINUTES", 61, ["shop.W002"]),
        ("BACKROOM_LIMITS", {"orders_by_email": (1, 1)}, ["shop.W003"]),
        ("CELERY_BROKER_URL", "redis://127.0.0.1:6379/0", ["shop.W004"]),
        ("ALLOWED_HOSTS", ["shop.example", "*"], ["shop.W005"]),
        ("BACKROOM_REMOTE_CONTROL", True, ["backroom.W010"]),
    ],
)
def test_a_deployer_is_warned_of_what_is_left_open(settings, name, value, warnings):
    settings.STAFF_TOTP = True
    settings.ALLOWED_HOSTS = ["shop.example"]
    settings.BACKROOM_LIMITS = environment.LIMITS
    settings.BACKROOM_REMOTE_CONTROL = False
    safe = {warning.id for warning in run_checks(include_deployment_checks=True)}
    setattr(settings, name, value)
    found = [warning.id for warning in run_checks(include_deployment_checks=True)]
    assert [id for id in found if id not in safe] == warnings
