"""All processes of the shop behind a PgBouncer in transaction mode."""

import time
from collections.abc import Iterator
from signal import SIGKILL

import pytest

from lab.faults.stack import send
from stack import environment, ports
from stack.processes import Process
from stack.servers import DATABASE
from tests import pooler
from tests.postgresql import server, shop
from tests.postgresql.conftest import Row
from tests.postgresql.server import Server
from tests.postgresql.shop import OF_DATABASE, WORKERS, Shop
from tests.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not pooler.program(), reason="pgbouncer is not here; .ci/nightly installs it"),
]

KILLED = ("worker-critical", "worker-default", "dispatcher", "web", "pgbouncer")
PAUSE = 4.0  # seconds between two kills
WRONG = ("(backroom.", "prepared statement", "InvalidCursorName")  # in a log
NAMED = "SELECT count(*) FILTER (WHERE session <> ''), count(*) FROM backroom_heartbeat WHERE role = 'worker'"
DONE = """
SELECT extract(epoch FROM max(finished_at - created_at))::float FROM backroom_job
WHERE key SIMILAR TO '(receipt|shipment|analytics):%'
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("pgbouncer")
    found = server.new(folder, folder)
    yield found
    found.end()


@pytest.fixture(scope="module")
def pooled(database: Server) -> Iterator[Shop]:
    port, secret = ports.free(["POOLER"])["POOLER"], environment.secret(database.var, environment.SHOP)
    upstream = f"host=127.0.0.1 port={database.port} user={environment.SHOP} password={secret}"
    process = Process("pgbouncer", pooler.command(database.var, upstream, port), stage=1)
    url = f"postgres://{environment.SHOP}@127.0.0.1:{port}/{DATABASE}"
    with shop.running(database.var, database, url, process, DISABLE_SERVER_SIDE_CURSORS="true") as found:
        yield found


def test_a_shop_behind_pgbouncer_finishes_all_orders_whatever_is_killed(pooled: Shop, database: Server, row: Row):
    """No session tells of a death there, so only heartbeats do."""
    with pooled.customers() as customers:
        until(lambda: len(customers.answers) > 8)
        assert database.execute(NAMED, database=DATABASE) == [(0, len(WORKERS))]
        for name in KILLED:
            send(SIGKILL, pooled.family(name))
            time.sleep(PAUSE)
            pooled.wait(name)
    verdict = pooled.judge(customers, database)
    assert (verdict.lost, verdict.missing, verdict.unfinished) == (0, 0, 0)
    assert verdict.partners <= {"mail"}  # killed between the server's 250 and the finish: a written limit
    for name in OF_DATABASE:
        text = pooled.log(name).read_text()
        assert [word for word in WRONG if word in text] == []
    longest = database.execute(DONE, database=DATABASE)[0][0]
    row("PgBouncer: five processes killed", verdict.orders, 0, 0, verdict.twice, "-", longest)


def test_every_process_says_at_its_start_which_limits_the_pooler_dropped(pooled: Shop, database: Server):
    database.execute("ALTER ROLE shop RESET ALL")
    pooled.stop("pgbouncer", *OF_DATABASE)  # its sessions have the old limits
    pooled.start("pgbouncer", *OF_DATABASE)
    for name in OF_DATABASE:
        until(lambda name=name: "(backroom.W007)" in pooled.log_since_start(name), what=name)
