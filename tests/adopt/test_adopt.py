"""docs/adopt.md, applied word for word to new projects: its jobs survive the death of their worker."""

import re
import zipfile
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.adopt import document
from tests.adopt.project import ROOT, Environment, Project, kill, lines
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

CORE = ("2. Configure", "3. Make", "4. Write", "5. Enqueue", "7. Monitor")
OPS = ("8. Pages",)
VARIANT = """
DATABASES["default"]["ATOMIC_REQUESTS"] = True
INSTALLED_APPS += ["people"]
AUTH_USER_MODEL = "people.User"
"""
BROKEN = """
from kombu import Queue
from project.settings import *
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS.remove("django_celery_beat")
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_TIME_LIMIT = None
CELERY_WORKER_DISABLE_PREFETCH = False
CELERY_BROKER_TRANSPORT_OPTIONS = {"ack_emulation": True, "socket_timeout": None}
BACKROOM_DEPLOY_WINDOW = "an hour"
CELERY_TASK_QUEUES = [Queue("default")]
"""
OWN_USER = "python manage.py makemigrations people"
OWN_VIEWS = """
from sales.views import buy


def fail(request):
    raise ValueError(buy(request))


urlpatterns += [path("buy/", buy), path("fail/", fail)]
"""
SETUP, (WORKER, *OTHERS) = document.commands("6. Run")
_, (WATCHER,) = document.commands("8. Pages")


class Adopted(NamedTuple):
    """Two projects on one environment. In each, one worker was killed in the middle of a job."""

    environment: Environment
    plain: Project
    with_ops: Project


def adopt(project: Project, *headings: str, setup: list[str], processes: list[str]) -> None:
    """Apply the document, start the processes, and kill the worker in the middle of a job."""
    project.apply(*CORE, *headings)
    project.append("project/urls.py", OWN_VIEWS)
    for command in setup:
        project.run(*command.split())
    worker, *_ = [project.start(command) for command in processes]
    buy(project)
    until(lambda: len(lines(project.started)) == 1, what="the worker begins")
    kill(worker)
    assert [(key, claims) for key, _, claims in project.jobs()] == [("receipt:1", 1)]


def buy(project: Project) -> None:
    project.python("""
        from django.test import Client
        answer = Client(headers={"host": "localhost"}).post("/buy/", {"email": "a@example.org"})
        assert answer.status_code == 201, answer.content
    """)


@pytest.fixture(scope="module")
def adopted(tmp_path_factory) -> Iterator[Adopted]:
    """The rescues of both projects take their ten seconds at the same time."""
    folder = tmp_path_factory.mktemp("adopt")
    environment = Environment(folder)
    plain = Project(environment, folder / "plain", broker=5)
    with_ops = Project(environment, folder / "with_ops", broker=6, settings=VARIANT)
    try:
        adopt(plain, setup=SETUP, processes=[WORKER, *OTHERS])
        environment.install("8. Pages")
        adopt(with_ops, *OPS, setup=[OWN_USER, *SETUP], processes=[WORKER, *OTHERS, WATCHER])
        yield Adopted(environment, plain, with_ops)
    finally:
        plain.kill()
        with_ops.kill()


def test_the_wheel_holds_the_library_and_nothing_else(adopted):
    names = zipfile.ZipFile(adopted.environment.wheel).namelist()
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "backroom").rglob("*") if path.is_file()}
    assert {name for name in names if ".dist-info/" not in name} == {file for file in files if ".pyc" not in file}


@pytest.mark.parametrize("which", ["plain", "with_ops"])
def test_a_job_whose_worker_is_killed_is_done_once(adopted, which):
    project = getattr(adopted, which)
    project.start(WORKER)
    until(lambda: len(lines(project.started)) == 2, what="the rescue")
    project.gate.touch()
    until(lambda: project.jobs() == [("receipt:1", "succeeded", 2)], what="the job's end")
    assert lines(project.sent) == ["receipt.1 to a@example.org"]


def test_every_process_of_the_document_runs(adopted):
    roles = "SELECT DISTINCT role FROM backroom_heartbeat ORDER BY role"
    core = [("beat",), ("dispatcher",), ("worker",)]
    until(lambda: adopted.plain.rows(roles) == core)
    until(lambda: adopted.with_ops.rows(roles) == [*core[:2], ("watcher",), core[2]])


def test_a_request_that_fails_enqueues_nothing(adopted):
    """The project has ATOMIC_REQUESTS, so the view's transaction ends after its code."""
    adopted.with_ops.python("""
        from django.test import Client
        client = Client(raise_request_exception=False, headers={"host": "localhost"})
        assert client.post("/fail/", {"email": "b@example.org"}).status_code == 500
    """)
    assert [key for key, *_ in adopted.with_ops.jobs()] == ["receipt:1"]
    assert adopted.with_ops.rows("SELECT id FROM sales_order") == [(1,)]


def test_staff_open_the_pages(adopted):
    """Each page is complete: Django finds the files that it names."""
    adopted.with_ops.python("""
        import re
        from django.contrib.auth import get_user_model
        from django.contrib.staticfiles.finders import find
        from django.test import Client
        from backroom.models import Job
        client = Client(headers={"host": "localhost"})
        assert client.get("/ops/").status_code == 302
        client.force_login(get_user_model().objects.create_superuser("staff", "staff@example.org", "secret"))
        for page in ("", "jobs/", "dead/", "alerts/", "actions/"):
            answer = client.get(f"/ops/{page}")
            assert answer.status_code == 200, page
            files = re.findall(r'"/static/([^"#]+)', answer.content.decode())
            assert files and all(map(find, files)), files
        id = Job.objects.get(key="receipt:1").id
        assert "receipt:1" in client.get(f"/ops/jobs/{id}/").content.decode()
    """)


def test_the_extra_is_optional(adopted):
    """The extra is in the environment by now, and the other project's processes have not loaded it."""
    loaded = adopted.plain.python("import sys, backroom, sales.tasks; print('prometheus_client' in sys.modules)")
    assert loaded == "False"


def test_dead_letters_are_listed_and_replayed(adopted):
    written = adopted.plain.python("""
        from backroom.models import Job
        from sales import dead_letters, tasks
        id = tasks.mail_receipt.enqueue(404)
        Job.objects.filter(id=id).update(state="dead", error="Permanent: there is no order 404")
        print(dead_letters.dead_letters(), dead_letters.replay_all() == [id])
    """)
    assert written == "[('receipt:404', 'Permanent: there is no order 404')] True"


def test_settings_that_break_a_promise_fail_the_checks(adopted):
    (adopted.plain.folder / "project" / "broken.py").write_text(BROKEN)
    written = adopted.plain.run("python", "manage.py", "check", fails=True, DJANGO_SETTINGS_MODULE="project.broken")
    for says in (
        'HINT: set DATABASES["default"] to a PostgreSQL database',
        'HINT: add "django_celery_beat" to INSTALLED_APPS',
        "HINT: remove CELERY_TASK_ACKS_LATE",
        "HINT: set CELERY_TASK_SOFT_TIME_LIMIT",
        "HINT: remove CELERY_WORKER_DISABLE_PREFETCH",
        'HINT: add "ack_emulation": False',
        'HINT: add "socket_timeout": 3',
        "the value of BACKROOM_DEPLOY_WINDOW does not fit",
        "sales.tasks.mail_receipt goes to the queue 'critical', which no worker knows",
    ):
        assert says in written


def test_a_database_without_limits_is_a_warning_of_the_checks(adopted):
    project = adopted.plain
    (project.folder / "project" / "unbounded.py").write_text(
        'from project.settings import *\nDATABASES["default"]["OPTIONS"] = {}\n'
    )
    limits = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    check = ("python", "manage.py", "check", "--database", "default")
    written = project.run(*check, DJANGO_SETTINGS_MODULE="project.unbounded")
    for limit in limits:
        assert f"DATABASES sets no {limit}:" in written
    assert f"a session of the database has no {', '.join(limits)}:" in written
    assert project.run(*check) == "System check identified no issues (0 silenced).\n"
    assert "has no" not in project.log


def test_a_project_without_the_app_says_so_at_the_first_use_of_a_task(adopted):
    (adopted.plain.folder / "project" / "without.py").write_text(
        "from project.settings import *\nINSTALLED_APPS.remove('backroom')\n"
    )
    written = adopted.plain.run(
        "python", "-c", "import django; django.setup(); from sales.tasks import mail_receipt; mail_receipt.enqueue(1)",
        fails=True, DJANGO_SETTINGS_MODULE="project.without",
    )  # fmt: skip
    assert 'ImproperlyConfigured: the ledger has no tables: add "backroom" to INSTALLED_APPS' in written


def test_the_projects_tests_run_its_jobs_without_a_worker_or_a_broker(adopted):
    adopted.plain.apply("9. Test")
    written = adopted.plain.run("python", "manage.py", "test", "sales", BROKER_URL="redis://127.0.0.1:9/0")
    assert "Ran 1 test" in written


def test_the_logs_warn_of_nothing_that_is_there(adopted):
    for project in (adopted.plain, adopted.with_ops):
        assert not re.search(r"no worker|no dispatcher|maxmemory|backroom\.E", project.log)


def test_a_project_can_leave_again(adopted):
    """The last test: it drops the tables."""
    for project, apps in ((adopted.plain, ["backroom"]), (adopted.with_ops, ["backroom_ops", "backroom"])):
        project.kill()
        for app in apps:
            project.run("python", "manage.py", "migrate", app, "zero")
        assert project.rows("SELECT tablename FROM pg_tables WHERE tablename LIKE 'backroom%'") == []
