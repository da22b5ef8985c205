"""A paused queue or task runs nothing on any worker until it is resumed; and only operators pause."""

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from backroom import enqueue_all, task
from backroom.ledger import transitions
from backroom.ledger.models import Job, Pause
from backroom.ops import audit_log
from backroom.ops.models import AuditEntry
from tests.integration.staff import customer, operator, reader, text

pytestmark = pytest.mark.django_db


@task(name="tests.paused", queue="bulk")
def paused() -> None:
    pass


@task(name="tests.beside", queue="bulk")
def beside() -> None:
    pass


@task(name="tests.elsewhere")
def elsewhere() -> None:
    pass


def state(id: str) -> str:
    return Job.objects.get(id=id).state


def taken() -> set[str]:
    return {message.id for message in transitions.stage_due(9)}


def test_a_message_of_a_paused_queue_runs_nothing_and_its_job_is_published_again_when_it_is_resumed():
    before, other = paused.enqueue(), elsewhere.enqueue()
    assert audit_log.pause("queue:bulk", "me", "why")
    after = paused.enqueue()
    for id in before, after:
        assert transitions.claim(id, "one") is None
        assert state(id) == "waiting"
    assert transitions.claim(other, "one")
    assert taken() == set()
    assert audit_log.resume("queue:bulk", "me", "why")
    assert taken() == {before, after}
    assert transitions.claim(before, "one")
    assert Job.objects.get(id=after).attempts == 0


def test_a_paused_task_stands_still_and_others_on_its_queue_go_on():
    ids = {task: task.enqueue() for task in (paused, beside)}
    audit_log.pause("task:tests.paused", "me", "why")
    assert transitions.claim(ids[paused], "one") is None
    assert transitions.claim(ids[beside], "one")


def test_what_runs_goes_on_and_what_waits_behind_it_waits_on():
    head = enqueue_all(elsewhere.call().then(paused.call()))[0]
    running = transitions.claim(head, "one")
    audit_log.pause("queue:bulk", "me", "why")
    (freed,) = transitions.succeed(running, None)
    assert transitions.claim(freed.id, "one") is None
    assert taken() == set()


def test_a_job_resumed_in_the_very_moment_of_its_refusal_is_a_lost_message_and_found():
    id = paused.enqueue()
    audit_log.pause("queue:bulk", "me", "why")
    audit_log.resume("queue:bulk", "me", "why")
    transitions.requeue_ready([id], paused_only=True)  # comes after the resume
    assert state(id) == "ready"


def test_pausing_twice_is_pausing_once():
    assert audit_log.pause("queue:bulk", "me", "first")
    assert not audit_log.pause("queue:bulk", "you", "second")
    assert (Pause.objects.get().who, AuditEntry.objects.count()) == ("me", 1)
    assert audit_log.resume("queue:bulk", "you", "done")
    assert not audit_log.resume("queue:bulk", "you", "done")
    assert [action.verb for action in AuditEntry.objects.order_by("id")] == ["paused", "resumed"]


@pytest.mark.parametrize("what", ["queue:bulk", "task:tests.paused"])
def test_an_operator_pauses_and_resumes_by_page_and_the_pages_show_it(what):
    paused.enqueue()
    kind, _, name = what.partition(":")
    assert f"Its 1 waiting job and all new ones wait until the {kind} is resumed" in text(
        operator().get("/ops/pause/", {"what": what})
    )
    operator().post("/ops/pause/", {"what": what, "why": "the bank is down"})
    page = text(reader().get("/ops/"))
    assert f"{kind.title()} {name} is paused by operator: the bank is down" in page
    assert f"{name} paused" in page
    operator().post("/ops/resume/", {"what": what, "why": "it is up"})
    assert not Pause.objects.exists()
    assert f"operator resumed {kind} {name} it is up" in text(reader().get("/ops/actions/"))


def test_the_command_line_pauses_and_resumes_too_and_knows_what_there_is(capsys):
    call_command("jobs", "pause", "task:tests.paused", "--why=" + 300 * "x")
    assert Pause.objects.get().why == 200 * "x"
    call_command("jobs")
    assert "task:tests.paused is paused, by " in capsys.readouterr().out
    call_command("jobs", "resume", "task:tests.paused", "--why=over")
    assert [action.verb for action in AuditEntry.objects.order_by("id")] == ["paused", "resumed"]
    call_command("jobs", "resume", "task:tests.paused")
    assert capsys.readouterr().out.endswith("nothing to do: task:tests.paused is not paused\n")
    for verb in "pause", "resume":
        with pytest.raises(CommandError, match=r"Did you mean queue:bulk"):
            call_command("jobs", verb, "queue:bulks")
    Pause.objects.create(what="task:tests.removed", who="me", why="its release is gone")
    call_command("jobs", "resume", "task:tests.removed")
    for nonsense in ([], ["queue:bulk", "queue:default"], ["queue:bulk", "--all"]):
        with pytest.raises(CommandError, match="name one queue or task"):
            call_command("jobs", "pause", *nonsense)
    assert not Pause.objects.exists()


def test_what_is_paused_or_resumed_already_is_said_without_a_question():
    for verb, said in ("resume", "Queue bulk is not paused."), ("pause", "Queue bulk is paused already."):
        assert said in text(operator().get(f"/ops/{verb}/", {"what": "queue:bulk"}, follow=True))
        audit_log.pause("queue:bulk", "me", "why")


def test_neither_without_a_reason_nor_for_an_unknown_name():
    assert "Enter a reason" in text(operator().post("/ops/pause/", {"what": "queue:bulk", "why": " "}))
    for what in "queue:nowhere", "task:nothing", "worker:one", "":
        assert operator().post("/ops/pause/", {"what": what, "why": "w"}).status_code == 404
    assert not Pause.objects.exists()


@pytest.mark.parametrize(("who", "status"), [(reader, 403), (customer, 403), (Client, 302)])
def test_who_may_not_act_can_neither_pause_nor_resume(who, status):
    audit_log.pause("queue:bulk", "me", "why")
    assert who().post("/ops/pause/", {"what": "queue:default", "why": "w"}).status_code == status
    assert who().post("/ops/resume/", {"what": "queue:bulk", "why": "w"}).status_code == status
    assert Pause.objects.get().what == "queue:bulk"
    if who is reader:
        assert "/ops/resume/" not in reader().get("/ops/").content.decode()


def test_a_form_from_elsewhere_does_not_pause_in_an_operators_name():
    browser = Client(enforce_csrf_checks=True)
    browser.cookies = operator().cookies
    assert browser.post("/ops/pause/", {"what": "queue:bulk", "why": "w"}).status_code == 403
    assert not Pause.objects.exists()


def test_the_preview_of_a_replay_says_that_its_queue_is_paused():
    id = paused.enqueue()
    transitions.mark_dead(transitions.claim(id, "one"), "x")
    audit_log.pause("queue:bulk", "me", "why")
    assert "Queue bulk is paused" in text(operator().get(f"/ops/act/?verb=replay&id={id}"))
