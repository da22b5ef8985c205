"""The reconciler, after damage done for real: rows deleted, states falsified, records lost; judged by the audit and by
the partners' own count of what happened."""

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
import urllib3
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from backroom import enqueue_all
from backroom.ledger import operations, rescue, transitions
from backroom.ledger.models import Job, State
from orders.models import Invoice, LoyaltyAccount, Order, Repair, Status
from orders.ordering import cancellation, settlement
from orders.reconciliation import audit, discrepancies, reconcile
from orders.reconciliation.expected import Effect
from tests.integration import mailbox as smtp
from tests.integration.buying import all_at_once, attempt, buy, effects, fault, product
from tests.integration.paid_orders import call_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("partners")]

FOLLOW_UPS = ["invoice", "receipt", "fraud", "capture", "shipment", "analytics", "loyalty", "recommendations"]
Act = Repair.Act


def sql(statement: str, *parameters) -> None:
    """Damage, behind everybody's back."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def lose(*keys: str) -> None:
    """Deletes the rows of jobs, as a person could."""
    sql("DELETE FROM backroom_job WHERE key = ANY(%s)", list(keys))


def falsify(key: str) -> None:
    """The ledger comes to say that a job has succeeded."""
    sql("UPDATE backroom_job SET state = 'succeeded', finished_at = clock_timestamp() WHERE key = %s", key)


def work() -> None:
    """Dispatcher and workers, until nothing is due."""
    while True:
        rescue.release_followers()
        transitions.stage_due(100)
        ready = Job.objects.filter(state=State.READY).values_list("key", flat=True)
        if not ready:
            return
        for key in ready:
            attempt(key)


def old() -> None:
    """Let all orders be an hour old."""
    Order.objects.update(created_at=Now() - audit.SKEW)


def sold(*but: str, **how) -> Order:
    """An order whose follow-ups are done; jobs of some kinds are lost before they could run."""
    order = buy(**how)
    lose(*(f"{kind}:{order.number}" for kind in but))
    work()
    old()
    return order


def done(outcome: reconcile.Outcome) -> set[tuple[str, str]]:
    return {(repair.act, repair.key.partition(":")[0]) for repair in outcome.repairs}


def reported(outcome: reconcile.Outcome) -> list[str]:
    return [f"{report.key}: {report.why}" for report in outcome.reports]


def assert_all_is_well() -> None:
    work()
    report = audit.run()
    assert report.clean, report
    assert report.unfinished == 0
    assert set(effects().values()) <= {1}
    assert (reconcile.run().repairs, reported(reconcile.run())) == ([], [])


@pytest.fixture
def shop() -> None:
    product("apples", stock=99)
    product("saffron", price="400.00", stock=99)


pytestmark.append(pytest.mark.usefixtures("shop"))


def test_nothing_is_touched_where_all_is_well():
    settlement.release_hold(sold(slug="saffron").number)
    for order in sold(), sold(slug="saffron"):
        cancellation.cancel(order.number)
    sold(slug="saffron")
    sold(card="demo-decline")
    fault("payments", down=True)
    settlement.cancel(buy().number)
    fault("payments")
    work()
    fault("payments", down=True)
    buy()
    statuses = list(Order.objects.order_by("created_at").values_list("status", flat=True))
    old()
    assert statuses == ["paid", "cancelled", "cancelled", "on_hold", "declined", "cancelled", "placed"]
    before = list(Job.objects.order_by("id").values())
    outcome = reconcile.run()
    assert (outcome.orders, outcome.repairs, reported(outcome), outcome.left) == (7, [], [], 0)
    assert list(Job.objects.order_by("id").values()) == before


@pytest.mark.parametrize("kind", FOLLOW_UPS)
def test_a_job_whose_row_was_deleted_is_there_again_and_all_is_done_once(kind):
    order = sold(kind)
    sold()
    assert not Job.objects.filter(key=f"{kind}:{order.number}").exists()
    outcome = reconcile.run()
    assert (Act.ENQUEUED, kind) in done(outcome)
    assert all(act == Act.ENQUEUED and key == kind for act, key in done(outcome)), done(outcome)
    assert_all_is_well()
    order.refresh_from_db()
    assert (order.points, order.learned) == (2, True)


def test_follow_ups_that_a_bug_forgot_to_enqueue_are_all_made_up_for():
    order = sold(*FOLLOW_UPS)
    sold()
    outcome = reconcile.run()
    assert done(outcome) == {(Act.ENQUEUED, kind) for kind in FOLLOW_UPS}
    assert_all_is_well()
    assert Order.objects.get(number=order.number).points == 2
    assert LoyaltyAccount.objects.get().points == 4


def test_what_was_done_before_its_row_was_deleted_is_not_done_again():
    order = sold()
    before = effects()
    lose(*(f"{kind}:{order.number}" for kind in FOLLOW_UPS))
    assert reconcile.run().repairs == []
    assert_all_is_well()
    assert effects() == before
    assert LoyaltyAccount.objects.get().points == 2


def test_points_that_an_order_of_less_than_a_euro_never_brings_are_not_missing():
    product("parsley", price="0.95", stock=9)
    order = sold(slug="parsley", quantity=1)
    lose(f"loyalty:{order.number}")
    assert (order.total - order.delivery, reconcile.run().repairs) == (Decimal("0.95"), [])


def test_a_follower_of_a_deleted_job_that_was_done_is_freed():
    order = buy()
    attempt(f"invoice:{order.number}")
    Job.objects.filter(key=f"receipt:{order.number}").update(state=State.WAITING, run_at=None)  # not yet released
    lose(f"invoice:{order.number}")
    work()
    old()
    assert Job.objects.get(key=f"receipt:{order.number}").state == State.WAITING
    assert done(reconcile.run()) == {(Act.FREED, "receipt")}
    assert_all_is_well()


def test_a_follower_of_a_deleted_job_follows_the_one_enqueued_anew():
    order = buy()
    lose(f"invoice:{order.number}")
    enqueue_all(call_of("invoice", order.number))
    old()
    assert done(reconcile.run()) == {(Act.FREED, "receipt")}
    assert_all_is_well()


def test_a_deleted_predecessor_comes_back_under_the_id_for_which_the_follower_waits():
    order = buy()
    capture = Job.objects.get(key=f"capture:{order.number}")
    lose(capture.key)
    old()
    assert done(reconcile.run()) == {(Act.ENQUEUED, "capture")}
    assert Job.objects.get(key=capture.key).id == capture.id
    attempt(f"fraud:{order.number}")
    assert Job.objects.get(key=f"shipment:{order.number}").state == State.WAITING
    assert_all_is_well()


def test_an_order_without_a_settling_job_is_settled():
    fault("payments", accept_then_fail=True)
    order = buy()
    fault("payments")
    assert order.status == Status.PLACED
    lose(f"settle:{order.number}")
    old()
    assert done(reconcile.run()) == {(Act.ENQUEUED, "settle")}
    assert_all_is_well()
    order.refresh_from_db()
    assert order.status == Status.PAID


def test_the_money_of_a_cancelled_order_goes_back_although_the_job_is_gone():
    paid, held = sold(), sold(slug="saffron")
    fault("payments", accept_then_fail=True)
    never_paid = buy()
    fault("payments")
    kinds = ("void", "refund", "credit_note", "cancellation")
    for order in (paid, held, never_paid):
        cancellation.cancel(order.number)
        lose(*(f"{kind}:{order.number}" for kind in kinds))
    work()
    old()
    assert audit.run().unexpected
    assert done(reconcile.run()) == {(Act.ENQUEUED, kind) for kind in kinds}
    assert_all_is_well()
    money = {key: count for key, count in effects(partner="payments").items() if "authorization" not in key}
    assert money == {
        f"payments/void void:{never_paid.number}": 1,
        f"payments/charge capture:{paid.number}": 1,
        f"payments/refund refund:{paid.number}": 1,
        f"payments/void void:{held.number}": 1,
    }


@pytest.mark.parametrize(("damage", "act"), [(lose, Act.ENQUEUED), (falsify, Act.REDONE)])
def test_the_mail_that_nothing_came_of_an_order_is_made_up_for_and_only_where_it_was_promised(damage, act):
    mailed, answered, before = buy(card="demo-slow"), buy(card="demo-decline"), buy(card="demo-slow")
    for order in mailed, before:
        settlement.cancel(order.number)
    Order.objects.filter(number=before.number).update(ends_by_mail=False)  # as a release without this mail left it
    lose(f"unpaid:{before.number}")
    damage(f"unpaid:{mailed.number}")
    work()
    sold()  # a later mail is on record
    assert [row["key"] for row in audit.run().lost] == [f"unpaid:{mailed.number}"]
    assert done(reconcile.run()) == {(act, "unpaid")}
    assert_all_is_well()
    mails = [key for key in effects(partner="mail") if key.startswith("mail/unpaid")]
    assert mails == [f"mail/unpaid unpaid:{mailed.number}"]
    assert not Job.objects.filter(key=f"unpaid:{answered.number}").exists()


@pytest.mark.parametrize("kind", ["receipt", "fraud", "capture", "shipment", "analytics"])
def test_a_job_that_says_it_succeeded_without_an_effect_is_run_again_once(kind):
    order = buy()
    falsify(f"{kind}:{order.number}")
    sold()
    assert done(reconcile.run()) == {(Act.REDONE, kind)}
    falsify(f"{kind}:{order.number}")  # as if it had done nothing once more
    for _ in range(2):
        outcome = reconcile.run()
        assert outcome.repairs == []
        assert f"{kind}:{order.number}: its job ran again and left no effect" in reported(outcome)
    sql("UPDATE backroom_job SET state = 'waiting', run_at = now() WHERE key = %s", f"{kind}:{order.number}")
    assert_all_is_well()


def test_an_invoice_that_was_deleted_is_made_again_as_it_was():
    order = sold()
    pdf = bytes(Invoice.objects.get(order=order).pdf)
    sql("DELETE FROM orders_invoice")
    assert done(reconcile.run()) == {(Act.REDONE, "invoice")}
    assert_all_is_well()
    assert bytes(Invoice.objects.get(order=order).pdf) == pdf


def test_partners_that_lost_all_their_records_cause_no_second_effects(partners):
    orders = [sold() for _ in range(3)]
    urllib3.request("POST", f"{partners}/reset")
    for _ in range(2):
        outcome = reconcile.run()
        assert outcome.repairs == []
        (finding,) = reported(outcome)
        first = min(order.number for order in orders)
        assert finding == f"records: 3 paid orders have no record at all, such as {first}: no repair for now"
    work()
    assert set(effects()) == {f"mail/repairs repairs:{Repair.objects.get().id}"}


def test_one_partner_that_lost_its_records_causes_no_second_effects():
    for _ in range(discrepancies.BELIEVABLE + 1):
        sold()
    with closing(sqlite3.connect(Path(os.environ["BACKROOM_VAR"]) / "partners.sqlite", isolation_level=None)) as theirs:
        theirs.execute("DELETE FROM effects WHERE partner = 'warehouse'")
        theirs.execute("DELETE FROM answers WHERE partner = 'warehouse'")
    outcome = reconcile.run()
    assert outcome.repairs == []
    (finding,) = reported(outcome)
    assert finding == "records:shipment: 11 expected effects have no record: no repair for now"
    work()
    assert effects(partner="warehouse") == {}


def test_no_mail_is_sent_again_where_nobody_keeps_records_of_mails(settings):
    with smtp.serving(settings) as mailbox:  # the partners keep no record of its mails
        for _ in range(2):
            lost = sold()
            lose(f"receipt:{lost.number}")
            assert reconcile.run().repairs == []
            work()
        subjects = [mail["Subject"] for mail in mailbox.mails]
    assert sum("Your order" in subject for subject in subjects) == 2
    assert len(subjects) == 3, "staff gets one mail a day"


def test_a_lost_receipt_is_sent_as_soon_as_a_later_mail_shows_that_records_are_kept():
    order = buy()
    sql(
        "UPDATE backroom_job SET state = 'succeeded', finished_at = clock_timestamp() WHERE key = %s",
        f"receipt:{order.number}",
    )
    work()
    old()
    outcome = reconcile.run()
    assert outcome.repairs == []
    assert [report.key for report in outcome.reports] == ["records:receipt"]
    work()  # that report is itself a mail
    assert done(reconcile.run()) == {(Act.REDONE, "receipt")}
    assert_all_is_well()


def test_dead_letters_and_cancelled_jobs_are_left_to_a_person():
    fault("analytics", status=400)
    dead, cancelled = sold(), buy()
    operations.cancel(
        ids=[str(Job.objects.get(key=f"invoice:{cancelled.number}").id)], dead=True, why="cancelled by a person"
    )
    fault("analytics")
    work()
    old()
    before = list(Job.objects.order_by("id").values())
    outcome = reconcile.run()
    assert outcome.repairs == []
    kinds = {text.split(" since ")[0] for text in reported(outcome) if "its job is" in text}
    assert kinds == {
        f"analytics:{dead.number}: its job is dead",
        f"invoice:{cancelled.number}: its job is cancelled",
        f"receipt:{cancelled.number}: its job is cancelled",
    }
    assert [job for job in Job.objects.order_by("id").values() if job["task"] != "orders.mail_repairs"] == before


def test_duplicate_and_unexpected_effects_are_reported(partners):
    order = sold()
    Job.objects.filter(key=f"receipt:{order.number}").update(state=State.READY)  # as if its success got lost
    attempt(f"receipt:{order.number}")
    body = {"order": "99", "amount": "1.00", "currency": "EUR", "card": "demo-approve"}
    urllib3.request("POST", f"{partners}/payments/authorizations", json=body, headers={"Idempotency-Key": "payment:99"})
    outcome = reconcile.run()
    assert outcome.repairs == []
    assert reported(outcome) == [
        f"receipt:{order.number}: mail/receipt: it happened 2 times",
        "payment:99: payments/authorization: there is no such order",
    ]


@pytest.mark.parametrize("damage", [lose, falsify])
def test_an_outdated_look_repairs_nothing_more(damage):
    order = buy()
    damage(f"shipment:{order.number}")
    work()
    ours, theirs, _ = audit.look([order.number])
    found = {Effect(row["partner"], row["kind"], row["key"]) for row in theirs}
    seen = discrepancies.discrepancies_of(ours[order.number], found)
    assert [repair.key for repair in reconcile.repair(order.number, seen, found)] == [f"shipment:{order.number}"]
    work()
    assert reconcile.repair(order.number, seen, found) == []


def test_staff_is_mailed_once_for_each_finding(settings):
    fault("analytics", status=400)
    order = sold("shipment")
    reconcile.run()
    reconcile.run()
    work()
    fault("analytics")
    first = Repair.objects.order_by("id").first()
    assert {key: count for key, count in effects(partner="mail").items() if "repairs" in key} == {
        f"mail/repairs repairs:{first.id}": 1,
        f"mail/repairs repairs:{Repair.objects.get(act=Act.REPORTED).id}": 1,
    }
    for _ in range(2):
        reconcile.run()
    work()
    assert sum("repairs" in key for key in effects(partner="mail")) == 2
    assert order.repairs.count() == 2


def test_a_dry_run_says_what_it_would_do_and_does_nothing(capsys):
    order = sold("shipment")
    before = list(Job.objects.order_by("id").values())
    call_command("reconcile", "--dry-run", "--json")
    printed = json.loads(capsys.readouterr().out)
    assert [(each["order"], each["act"], each["key"]) for each in printed["repairs"]] == [
        (order.number, "enqueued", f"shipment:{order.number}")
    ]
    assert list(Job.objects.order_by("id").values()) == before
    assert not Repair.objects.exists()


def test_partners_that_do_not_answer_are_waited_for(settings, capsys):
    sold("shipment")
    settings.BACKROOM_PARTNERS_URL = "http://127.0.0.1:9"
    assert "http://127.0.0.1:9/effects" in reconcile.reconcile()["silent"]
    with pytest.raises(SystemExit) as stop:
        call_command("reconcile")
    assert stop.value.code == 4
    assert not Repair.objects.exists()


def test_one_run_mends_only_so_much_and_says_what_is_left(capsys):
    for _ in range(3):
        sold("shipment")
    with pytest.raises(SystemExit) as stop:
        call_command("reconcile", "--limit", "2")
    assert stop.value.code == 1
    assert "2 repairs, 0 findings to review, 1 order left" in capsys.readouterr().out
    assert len(reconcile.run().repairs) == 1
    assert_all_is_well()


@pytest.mark.parametrize("limit", ["-1", "many"])
def test_a_limit_that_makes_no_sense_is_refused(limit):
    with pytest.raises(CommandError, match="is not a number of orders"):
        call_command("reconcile", f"--limit={limit}")


def test_young_orders_are_in_other_hands():
    order = buy()
    lose(f"shipment:{order.number}")
    assert (reconcile.run().orders, Repair.objects.count()) == (0, 0)


def queries(run: Callable) -> int:
    with CaptureQueriesContext(
        connection,
    ) as asked:
        run()
    return len(asked)


def test_more_healthy_orders_need_no_more_queries():
    sold()
    one = queries(reconcile.run)
    for _ in range(4):
        sold()
    assert queries(reconcile.run) == one <= 12


@pytest.mark.django_db(transaction=True)
def test_two_reconcilers_at_once_mend_everything_once():
    orders = sorted(sold("shipment").number for _ in range(3))
    redone = sold()
    sql("DELETE FROM orders_invoice WHERE order_id = %s", redone.number)
    for outcome in all_at_once(*[reconcile.run] * 4):
        assert isinstance(outcome, reconcile.Outcome), outcome
    reconcile.run()  # what all four left, as each saw it in another's hands
    mended = sorted(Repair.objects.values_list("act", "key"))
    assert mended == [
        *((Act.ENQUEUED, f"shipment:{number}") for number in orders),
        (Act.REDONE, f"invoice:{redone.number}"),
    ]
    assert_all_is_well()
    assert Repair.objects.filter(mail=None).count() == 0
