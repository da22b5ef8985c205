"""The primary is lost under load, and a standby is promoted. Every process finds it by its DATABASE_URL."""

import time
from pathlib import Path

import pytest

from stack.environment import SHOP
from stack.servers import DATABASE
from tests.postgresql import server, shop
from tests.postgresql.conftest import Row
from tests.postgresql.server import Server, tool
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SOLD = "SELECT extract(epoch FROM min(created_at))::float FROM orders_order WHERE created_at > to_timestamp({})"
DONE = "SELECT extract(epoch FROM max(finished_at))::float FROM backroom_job WHERE created_at < to_timestamp({})"
ORDERS = "SELECT count(*) FROM orders_order"


def address(*servers: Server) -> str:
    """All of them; libpq connects to the first that takes writes."""
    account, _, _ = servers[0].url(SHOP).rpartition("@")
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in servers)
    return f"{account}@{hosts}/{DATABASE}?target_session_attrs=read-write"


def first(found: Server, question: str, moment: float) -> float | None:
    return found.execute(question.format(moment), database=DATABASE)[0][0]


def rejoin(old: Server, primary: Server) -> None:
    """The old primary becomes a standby. Started as it is, it would take writes beside the new one."""
    primary.execute("SELECT pg_create_physical_replication_slot('standby')")  # its copy of the settings names one
    source = primary.url(database="postgres")
    tool("pg_rewind", f"--target-pgdata={old.data}", f"--source-server={source}", "--write-recovery-conf")
    old.start()
    assert old.execute("SELECT pg_is_in_recovery()") == [(True,)]
    until(lambda: old.execute(ORDERS, database=DATABASE) == primary.execute(ORDERS, database=DATABASE))
    old.end()


@pytest.mark.parametrize(
    ("case", "synchronous", "behind"),
    [
        ("primary killed, standby up to date", False, 0),
        ("primary killed, standby 3 s behind", False, 3),
        ("primary killed, synchronous standby", True, 0),
    ],
    ids=["up to date", "behind", "synchronous"],
)
def test_the_shop_goes_on_with_a_promoted_standby(
    tmp_path: Path, row: Row, case: str, synchronous: bool, behind: int
) -> None:
    primary = server.new(tmp_path, tmp_path)
    # Before the setting below: a promoted standby with it would wait for a standby of its own at each commit.
    standby = primary.copy(tmp_path / "standby", "--write-recovery-conf", "--create-slot", "--slot=standby").start()
    if synchronous:
        primary.configure(synchronous_standby_names="*")
    with shop.running(tmp_path, primary, address(primary, standby)) as its:
        with its.customers() as customers:
            until(lambda: len(customers.answers) > 8)
            if behind:
                standby.configure(primary_conninfo="")  # the line to its primary is cut
                time.sleep(behind)
            primary.kill()
            killed = time.time()
            standby.execute("SELECT pg_promote()")
            promoted = time.time()
            until(lambda: first(standby, SOLD, promoted))
            time.sleep(3)
        verdict = its.judge(customers, standby)
        again, done = first(standby, SOLD, promoted), first(standby, DONE, killed)
        found = its.reconcile(standby)
    rejoin(primary, standby)
    standby.end()
    assert verdict.unfinished == verdict.missing == 0
    assert verdict.partners <= {"mail"}  # it has no key
    assert verdict.named == verdict.lost  # the partners have effects of each
    assert len({each["key"].partition(":")[2] for each in found["reports"]}) >= verdict.lost
    if behind:
        assert verdict.lost > 0
    if synchronous:
        assert (verdict.lost, verdict.twice) == (0, 0)
    row(case, verdict.orders, verdict.lost, verdict.named, verdict.twice, again - killed, max(0, done - killed))
