"""Staff act on jobs: who may, what the preview says, what then happens, and that it is written down."""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO

import pytest
from celery import current_app
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from backroom import enqueue_all, task
from backroom.ledger import transitions
from backroom.ledger.models import Job
from backroom.ops import audit_log
from backroom.ops.models import AuditEntry
from tests.integration.minutes import QUEUES
from tests.integration.staff import customer, operator, reader, text

pytestmark = pytest.mark.django_db


@task(name="tests.fails", key="fails:{number}")
def fails(number: int, hurry: bool = False) -> None:
    pass


@task(name="tests.fails_in_lane", limit=("fails:{lane}", 1))
def fails_in_lane(number: int, lane: int) -> None:
    pass


@task(name="tests.fails_after", key="later:{number}")
def fails_after(number: int) -> None:
    pass


def dead(number: int, error: str = "Permanent: order {} is unknown") -> str:
    id = fails.enqueue(number)
    transitions.mark_dead(transitions.claim(id, "one"), error.format(number) + "\nTraceback")
    return id


def states(*ids: str) -> list[str]:
    found = Job.objects.in_bulk(ids)
    return [found[job.id].state for id in ids for job in found.values() if str(job.id) == id]


def do(client: Client, **form: object):
    return client.post("/ops/act/", {"verb": "replay", "step": "do", "why": "the bank is back", **form})


GROUP = {"task": "tests.fails", "cause": "Permanent: order # is unknown"}


def test_dead_letters_are_grouped_by_task_and_error_with_numbers_blanked():
    for number in 1, 22, 333:
        dead(number)
    dead(4, "OSError: no answer from 01a201a4-5d22-765d-8111-75b94ff1b5bf")
    page = reader().get("/ops/dead/")
    assert [(group.cause, group.count) for group in page.context["groups"]] == [
        ("Permanent: order # is unknown", 3),
        ("OSError: no answer from #", 1),
    ]
    assert "fails:22" in text(reader().get("/ops/dead/", GROUP))


def test_one_a_selection_or_a_group_is_replayed():
    ids = [dead(number) for number in range(6)]
    do(operator(), id=ids[0])
    assert states(*ids) == ["waiting"] + ["dead"] * 5
    do(operator(), id=ids[1:3])
    assert states(*ids) == ["waiting"] * 3 + ["dead"] * 3
    page = do(operator(), **GROUP)
    assert states(*ids) == ["waiting"] * 6
    assert page.url == "/ops/dead/"


def test_one_a_selection_or_a_group_is_cancelled():
    ids = [dead(number) for number in range(4)]
    for chosen in {"id": ids[0]}, {"id": ids[1:3]}, GROUP:
        do(operator(), verb="cancel", **chosen)
    assert states(*ids) == ["cancelled"] * 4
    assert Job.objects.get(id=ids[0]).error == "cancelled by operator: the bank is back"


def test_a_waiting_job_is_cancelled_with_those_behind_it_and_a_running_one_is_not():
    waiting = enqueue_all(fails.using(run_after=timedelta(hours=1)).call(1).then(fails_after.call(1)))[0]
    running = fails.enqueue(2)
    transitions.claim(running, "one")
    assert "The job will not run, nor will 1 job behind it" in text(
        operator().get(f"/ops/act/?verb=cancel&id={waiting}")
    )
    client = operator()
    do(client, verb="cancel", id=[waiting, running])
    assert "1 job and 1 behind it cancelled." in text(client.get("/ops/jobs/"))
    assert AuditEntry.objects.get().what == "fails:1 and 1 behind it"
    assert states(waiting, running) == ["cancelled", "running"]
    assert Job.objects.get(key="later:1").state == "cancelled"


def test_the_command_line_counts_followers_apart(capsys):
    head = fails.using(run_after=timedelta(hours=1)).call(1).then(fails_after.call(1)).then(fails_after.call(2))
    enqueue_all(head)
    call_command("jobs", "cancel", "fails:1")
    assert capsys.readouterr().out == "1 of 1 jobs and 2 behind it cancelled\n"


def retrying(number: int, error: str = "OSError: no route") -> str:
    id = fails.enqueue(number)
    transitions.defer(transitions.claim(id, "one"), 3600, error)
    return id


def test_jobs_that_wait_for_a_time_are_tried_now_with_the_attempts_that_they_have_left():
    again, later = retrying(1), fails.using(run_after=timedelta(hours=1)).enqueue(2)
    enqueue_all(fails.using(run_after=timedelta(hours=1)).call(3).then(fails_after.call(3)))
    behind = str(Job.objects.get(key="later:3").id)
    assert "2 jobs now?" in text(operator().get("/ops/act/", {"verb": "try", "id": [again, later, behind]}))
    do(operator(), verb="try", id=[again, later, behind])
    assert {message.id for message in transitions.stage_due(9)} == {again, later}
    assert Job.objects.get(id=again).attempts == 1
    assert AuditEntry.objects.get().what == "2 jobs, fails:1 and others"


def test_all_retrying_jobs_are_tried_now_at_a_rate_that_delays_none():
    ids = [retrying(number) for number in range(3)]
    scheduled = fails.using(run_after=timedelta(hours=1)).enqueue(9)
    Job.objects.filter(id=ids[2]).update(run_at=Job.objects.get(id=ids[0]).created_at)  # it is due already
    do(operator(), verb="try", found="state=retrying", all=1, per_minute="2")
    times = [Job.objects.get(id=id).run_at for id in (ids[2], *ids[:2])]
    assert times[0] < times[1] < times[2]
    assert round((times[2] - times[1]).total_seconds()) == 30
    assert Job.objects.get(id=scheduled).run_at - times[2] > timedelta(minutes=50)


def test_any_search_is_acted_on_as_its_preview_found_it():
    first = retrying(1, "OSError: no route to the bank")
    other = retrying(2, "OSError: disk full")
    client, search = operator(), "state=retrying&error=BANK"
    page = client.get("/ops/act/", {"verb": "cancel", "found": search, "all": 1})
    assert "Cancel 1 job?" in text(page)
    second = retrying(3, "OSError: no route to the bank")
    answer = do(client, verb="cancel", found=search, all=1, id=" ".join(page.context["change"].ids))
    assert states(first, other, second) == ["cancelled", "waiting", "waiting"]
    assert answer.url == "/ops/jobs/?state=retrying&error=BANK"
    assert do(client, verb="cancel", found=search).url == answer.url, "nothing is selected"
    do(client, verb="cancel", found=search, all=1, id="")  # the preview found none
    assert states(other, second) == ["waiting", "waiting"]
    do(client, verb="cancel", found=search, all=1)
    assert states(other, second) == ["waiting", "cancelled"]


def test_a_change_of_all_jobs_needs_a_search():
    id = retrying(1)
    assert do(operator(), verb="cancel", found="", all=1).url == "/ops/dead/"
    assert states(id) == ["waiting"]


def test_a_group_is_replayed_at_the_rate_that_the_preview_shows():
    ids = [dead(number) for number in range(4)]
    page = operator().post("/ops/act/", {"verb": "replay", "step": "preview", "per_minute": "2", **GROUP})
    shown = re.search(
        r"at 2 per minute, with all their attempts: the first now, the last at \d+ \w+ [\d:]+ UTC", text(page)
    )
    assert shown
    assert states(*ids) == ["dead"] * 4
    do(operator(), per_minute="2", **GROUP)
    times = [Job.objects.get(id=id).run_at for id in ids]
    assert [round((time - times[0]).total_seconds()) for time in times] == [0, 30, 60, 90]
    assert abs((times[3] - page.context["last"]).total_seconds()) < 5
    assert AuditEntry.objects.get().what.endswith("and others, one every 30 s")


def test_what_died_after_the_preview_is_not_replayed_with_its_group():
    first = dead(1)
    page = operator().get("/ops/act/", {"verb": "replay", **GROUP})
    second = dead(2)
    do(operator(), id=" ".join(page.context["change"].ids), **GROUP)
    assert states(first, second) == ["waiting", "dead"]


def test_each_change_has_an_audit_entry_that_all_readers_see():
    ids = [dead(1), dead(2)]
    do(operator(), id=ids)
    action = AuditEntry.objects.get()
    assert (action.who, action.verb, action.why) == ("operator", "replayed", "the bank is back")
    assert [str(id) for id in action.jobs] == ids
    for address in "/ops/actions/", f"/ops/jobs/{ids[1]}/":
        assert "operator replayed 2 jobs, fails:1 and others the bank is back" in text(reader().get(address))
    call_command("jobs", "cancel", *ids, why="at night", stdout=open("/dev/null", "w"))  # noqa: SIM115
    assert AuditEntry.objects.latest("id").why == "at night"


def test_the_command_line_refuses_what_it_would_have_to_ignore_and_names_the_tasks_there_are():
    first, second = dead(1), dead(2)
    ambiguous = ("fails:1", "--all"), ("fails:1", "--task=tests.fails"), ("--task=tests.fails", "--all"), ()
    for arguments in ambiguous:
        with pytest.raises(CommandError, match="in one way") as error:
            call_command("jobs", "cancel", *arguments)
        assert error.value.returncode == 2
    for arguments in ("dead", "fails:1"), ("show", "--all"), ("running", "--task=tests.fails"):
        with pytest.raises(CommandError, match="takes no ids"):
            call_command("jobs", *arguments)
    with pytest.raises(CommandError, match=r"^dead takes no ids, keys or --all. Only replay and cancel do.$"):
        call_command("jobs", "dead", "--all")
    with pytest.raises(CommandError, match=r"no task 'zzz'. There are .*tests.fails"):
        call_command("jobs", "dead", "--task=zzz")
    for verb in "cancel", "dead":
        with pytest.raises(CommandError, match=r"no task 'tests.fail'. Did you mean tests.fails"):
            call_command("jobs", verb, "--task=tests.fail")
    assert states(first, second) == ["dead", "dead"]
    Job.objects.filter(id=second).update(task="tests.removed")  # by a release since then
    out = StringIO()
    call_command("jobs", "dead", "--task=tests.removed", stdout=out)
    call_command("jobs", "cancel", "--task=tests.removed", stdout=out)
    assert out.getvalue().endswith("1 dead letters\n1 of 1 jobs cancelled\n")
    assert states(first, second) == ["dead", "cancelled"]


def test_nothing_happens_without_a_reason_or_with_nonsense():
    id = dead(1)
    assert "Enter a reason" in text(do(operator(), id=id, why="  "))
    for nonsense in (
        {"id": "x"},
        {"id": ()},
        {"id": id, "verb": "drop"},
        {"id": id, "per_minute": "nan"},
        {"id": id, "per_minute": "1e-9"},
    ):
        assert do(operator(), **nonsense).url == "/ops/dead/"
    assert states(id) == ["dead"]


@pytest.mark.parametrize(("who", "status"), [(reader, 403), (customer, 403), (Client, 302)])
def test_who_may_not_act_can_not_by_page_by_address_or_by_forged_form(who, status):
    id = dead(1)
    if who is reader:
        for page in f"/ops/jobs/{id}/", "/ops/dead/", "/ops/jobs/?state=dead":
            content = who().get(page).content.decode()
            assert "?verb=" not in content
            assert 'name="verb"' not in content
    for address in f"/ops/act/?verb=replay&id={id}", f"/ops/jobs/{id}/edit/":
        assert who().get(address).status_code == status
    for verb in "replay", "cancel", "try":
        assert do(who(), verb=verb, id=id).status_code == status
        assert do(who(), verb=verb, found="state=dead", all=1).status_code == status
    assert who().post(f"/ops/jobs/{id}/edit/", {"args": '{"number": 1}', "why": "w"}).status_code == status
    assert states(id) == ["dead"]
    assert not AuditEntry.objects.exists()


def test_a_form_from_elsewhere_does_nothing_in_an_operators_name():
    id = dead(1)
    browser = Client(enforce_csrf_checks=True)
    browser.cookies = operator().cookies
    assert do(browser, id=id).status_code == 403
    assert browser.post(f"/ops/jobs/{id}/edit/", {"args": '{"number": 1}', "why": "w"}).status_code == 403
    assert states(id) == ["dead"]


def edit(id: str, args: str):
    return operator().post(f"/ops/jobs/{id}/edit/", {"args": args, "why": "typo"})


def test_a_dead_letter_is_replayed_with_other_arguments():
    id = dead(1)
    edit(id, '{"number": 1, "hurry": true}')
    job = Job.objects.get(id=id)
    assert (job.state, job.args) == ("waiting", {"number": 1, "hurry": True})
    assert AuditEntry.objects.get().what == 'fails:1, its arguments before: {"hurry": false, "number": 1}'


def test_what_the_arguments_were_before_an_edit_is_kept_whole():
    id = dead(1)
    before = {"number": 1, "hurry": 7000 * "x"}
    Job.objects.filter(id=id).update(args=before)
    edit(id, '{"number": 1}')
    assert 7000 * "x" in AuditEntry.objects.get().what


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("{", "no valid JSON"),
        ("[1]", "must be a JSON object"),
        ('{"number": "1"}', "tests.fails takes number: int, not &quot;1&quot;"),
        ('{"number": 1, "hurry": "yes"}', "tests.fails takes hurry: bool, not &quot;yes&quot;"),
        ('{"number": true}', "tests.fails takes number: int, not true"),
        ('{"number": NaN}', "no NaN"),
        ('{"nummer": 1}', "don&#x27;t fit: tests.fails(number: int, hurry: bool = False)"),
        ("{}", "missing a required argument"),
        ('{"number": 2}', "These arguments give the key fails:2, but the job&#x27;s key is fails:1"),
        ('{"number": 1, "hurry": "' + 9000 * "x" + '"}', "over 8000 bytes"),
        ('{"number": 1, "hurry": "\\u0000"}', "no NUL"),
        ('{"number": 1, "hurry": "\\ud800"}', "unpaired surrogate"),
        ('{"number": 1, "hurry": 1e999}', "not JSON compliant"),
        (50_000 * "[", "nested too deep"),
    ],
)
def test_arguments_that_do_not_fit_the_task_or_make_it_another_effect_are_refused(args, words):
    id = dead(1)
    response = edit(id, args)
    assert response.status_code == 422
    assert words in response.content.decode()
    assert states(id) == ["dead"]


@pytest.mark.parametrize("unfit", [{"nummer": 1}, [1]])
def test_arguments_that_no_longer_fit_are_edited_into_such_that_do(unfit):
    id = dead(1)
    Job.objects.filter(id=id).update(args=unfit)
    assert edit(id, '{"number": 2}').status_code == 422, "another effect"
    assert edit(id, '{"number": 1}').status_code == 302
    assert Job.objects.get(id=id).args == {"number": 1}


def test_arguments_that_give_another_lane_are_refused():
    id = fails_in_lane.enqueue(1, 1)
    Job.objects.filter(id=id).update(state="cancelled")
    response = edit(id, '{"number": 1, "lane": 2}')
    assert "These arguments give the lane limit:fails:2" in response.content.decode()
    assert states(id) == ["cancelled"]
    assert edit(id, '{"number": 2, "lane": 1}').status_code == 302


def test_a_job_that_is_not_dead_is_not_edited():
    id = fails.enqueue(1)
    assert edit(id, '{"number": 1, "hurry": true}').status_code == 302
    assert Job.objects.get(id=id).args["hurry"] is False


@pytest.mark.django_db(transaction=True)
def test_two_who_replay_at_once_replay_once():
    ids = [dead(number) for number in range(20)]
    with ThreadPoolExecutor(2) as pool:
        done = [run.result() for run in [pool.submit(replay_and_close, ids, who) for who in ("one", "two")]]
    assert sorted(map(len, done)) == [0, 20]
    assert AuditEntry.objects.count() == 1


def replay_and_close(ids: list[str], who: str) -> list[str]:
    try:
        return audit_log.replay(ids, who, "why")
    finally:
        connection.close()


def test_the_command_line_says_why_it_changed_nothing(capsys):
    Job.objects.filter(id=dead(1)).update(state="succeeded")
    for verb, only in ("replay", "dead or cancelled"), ("cancel", "dead or ready or waiting"):
        call_command("jobs", verb, "fails:1")
        assert f"fails:1 is succeeded: only {only} jobs are " in capsys.readouterr().out


def test_the_command_line_ends_quietly_when_its_reader_has_ended():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as out:
        call_command("jobs", stdout=out)


def test_a_database_without_the_tables_is_a_line_with_the_way_out():
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE backroom_heartbeat RENAME TO backroom_elsewhere")
    missing = r'relation "backroom_heartbeat" does not exist: run manage.py migrate$'
    with pytest.raises(CommandError, match=missing):
        call_command("jobs")


def test_celerys_own_tasks_are_not_offered():
    assert not [name for name in reader().get("/ops/jobs/").context["tasks"] if name.startswith("celery.")]
    with pytest.raises(CommandError, match="there is no") as error:
        call_command("jobs", "pause", "task:celery.chain")
    assert "task:celery." not in str(error.value).partition(". ")[2]
    assert operator().get("/ops/pause/?what=task:celery.chain").status_code == 404
    transitions.succeed(transitions.claim(current_app.tasks["celery.backend_cleanup"].enqueue(), "one"), None)
    fails.enqueue(1)
    for said in text(reader().get("/ops/")), shown():
        assert "celery." not in said


def shown(*arguments: str) -> str:
    """What `manage.py jobs` prints."""
    out = StringIO()
    call_command("jobs", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_line_lists_idle_queues_and_its_json_does_not():
    fails.enqueue(1)
    assert re.findall(r"^(bulk|critical|default|media|webhooks) .*", shown(), re.MULTILINE) == QUEUES
    assert [queue["queue"] for queue in json.loads(shown("--json"))["queues"]] == ["default"]
