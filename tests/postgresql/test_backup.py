"""Backups of a running shop, restored after more orders: what they lack, and how the shop finds out."""

import time
from pathlib import Path

import pytest

from stack import servers, unprivileged
from stack.environment import private_folder
from stack.servers import DATABASE
from tests.postgresql import server, shop
from tests.postgresql.conftest import Row
from tests.postgresql.server import Server, tool
from tests.postgresql.shop import OF_DATABASE, WORKERS, Shop
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def primary(tmp_path: Path) -> Server:
    return server.new(tmp_path, tmp_path)


def judge(its: Shop, customers: shop.Customers, restored: Server, row: Row, case: str) -> None:
    """The shop goes on with the restored server, which has the address of the old one."""
    its.start(*OF_DATABASE)
    verdict = its.judge(customers, restored)
    found = its.reconcile(restored)
    restored.end()
    reported = {each["key"].partition(":")[2] for each in found["reports"]}
    assert (verdict.missing, verdict.unfinished) == (0, 0)
    assert verdict.partners <= {"mail"}  # it has no key
    assert 0 < verdict.lost == verdict.named <= len(reported)
    row(case, verdict.orders, verdict.lost, verdict.named, verdict.twice, "-", "-")


def test_a_restored_dump_lacks_the_orders_after_it_and_the_audit_names_each(tmp_path: Path, primary: Server, row: Row):
    """Jobs that waited as it was made run again. Only their mails come twice: other partners know the key."""
    dump = tmp_path / "shop.dump"
    with shop.running(tmp_path, primary) as its:
        with its.customers() as customers:
            until(lambda: len(customers.answers) > 5)
            its.stop(*WORKERS)
            waiting = len(customers.answers)
            until(lambda: len(customers.answers) > waiting + 3)
            tool("pg_dump", "--format=custom", f"--file={dump}", primary.url())
            its.start(*WORKERS)
            later = len(customers.answers)
            until(lambda: len(customers.answers) > later + 5)
            time.sleep(3)  # their jobs are done, too
        its.stop(*OF_DATABASE)
        primary.end()
        restored = server.new(tmp_path / "restored", tmp_path, primary.port)
        tool("pg_restore", "--clean", "--if-exists", f"--dbname={restored.url()}", dump)
        servers.make_roles(tmp_path, restored.port, DATABASE)
        judge(its, customers, restored, row, "dump restored")


def test_a_restore_to_a_moment_lacks_only_what_came_after_it(tmp_path: Path, primary: Server, row: Row):
    """A base backup and the archived log. The accident is a TRUNCATE, by hand."""
    archive = private_folder(tmp_path / "archive")
    unprivileged.own(archive)
    primary.configure(archive_mode="on", archive_command=f"cp %p {archive}/%f")
    primary.end()
    primary.start()
    with shop.running(tmp_path, primary) as its:
        with its.customers() as customers:
            until(lambda: len(customers.answers) > 3)
            restored = primary.copy(tmp_path / "restored")
            before = len(customers.answers)
            until(lambda: len(customers.answers) > before + 5)
            ((moment,),) = primary.execute("SELECT clock_timestamp()::text")
            time.sleep(2)  # orders that the accident takes, too
            primary.execute("TRUNCATE orders_order CASCADE", database=DATABASE)
            time.sleep(1)
        its.stop(*OF_DATABASE)
        ((log,),) = primary.execute("SELECT pg_walfile_name(pg_switch_wal())")
        until(lambda: (archive / log).exists(), what=log)
        primary.end()
        recover(restored, archive, moment, primary.port)
        judge(its, customers, restored, row, "restored to the moment before an accident")


def recover(backup: Server, archive: Path, moment: str, port: int) -> None:
    """Let it replay the archived log up to this moment, and then take writes."""
    with (backup.data / "postgresql.auto.conf").open("a") as config:
        config.write(f"restore_command = 'cp {archive}/%f %p'\nrecovery_target_time = '{moment}'\n")
        config.write("recovery_target_action = 'promote'\narchive_mode = off\n")
    signal = backup.data / "recovery.signal"
    signal.touch(0o600)
    unprivileged.own(signal)
    backup.port = port
    backup.start()
    until(lambda: backup.execute("SELECT pg_is_in_recovery()") == [(False,)])
