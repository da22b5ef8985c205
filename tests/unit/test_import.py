"""Importing backroom starts nothing, and it loads no worker into a web process."""

import json
import os
import subprocess
import sys

import pytest

# Prints one JSON object about a fresh process. Code is backroom's if its __module__ says so.
PROBE = """
import gc, json, sys, threading, types, weakref
{imports}
from celery.utils.dispatch import Signal as CelerySignal
from django.dispatch import Signal

def receivers():
    for signal in gc.get_objects():
        if isinstance(signal, (CelerySignal, Signal)):
            for _, receiver, *_ in signal.receivers or ():
                yield receiver() if isinstance(receiver, weakref.ReferenceType) else receiver

def patches():
    for module in list(sys.modules.values()):
        if module.__name__.split(".")[0] in ("billiard", "celery", "django", "kombu"):
            for owner in [module, *(each for each in vars(module).values() if type(each) is type)]:
                for name, each in vars(owner).items():
                    if type(each) in (types.FunctionType, type) and each.__module__.startswith("backroom"):
                        yield f"{{owner.__name__}}.{{name}}"

print(json.dumps({{
    "worker": sorted(name for name in sys.modules if name.startswith(("celery.worker", "backroom.runtime.worker"))),
    "threads": [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()],
    "receivers": sorted(str(each) for each in receivers() if getattr(each, "__module__", "").startswith("backroom")),
    "patches": sorted(patches()),
}}))
"""


def fresh_process(imports: str) -> dict[str, list[str]]:
    """The modules of the worker, the threads, and backroom's signal receivers and patches after these imports."""
    command = [sys.executable, "-c", PROBE.format(imports=imports)]
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "shop.settings"}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_importing_backroom_starts_nothing():
    assert fresh_process("import backroom") == {"worker": [], "threads": [], "receivers": [], "patches": []}


@pytest.mark.parametrize("imports", ["import django; django.setup(); import backroom", "import shop.wsgi"])
def test_a_web_process_loads_no_more_of_the_worker_than_celery_itself(imports):
    """Celery's own Django fixup imports celery.worker, with backroom or without."""
    celery_itself = fresh_process("import celery.fixups.django")["worker"]
    assert set(fresh_process(imports)["worker"]) <= set(celery_itself)


def test_the_probe_finds_a_worker_a_thread_a_receiver_and_a_patch():
    started = (
        "import celery.worker, celery.signals, threading\n"
        "def receiver(**_): pass\n"
        "receiver.__module__ = 'backroom.example'\n"
        "celery.signals.worker_ready.connect(receiver)\n"
        "celery.Celery.close = receiver\n"
        "threading.Thread(target=threading.Event().wait, daemon=True, name='example').start()"
    )
    found = fresh_process(started)
    assert "celery.worker" in found["worker"]
    assert found["threads"] == ["example"]
    assert len(found["receivers"]) == 1
    assert "Celery.close" in found["patches"]
