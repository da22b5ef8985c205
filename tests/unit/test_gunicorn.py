"""A HUP reloads gunicorn's workers, but not its main process."""

import subprocess
import sys

LOAD = """
import sys
from gunicorn.app.wsgiapp import WSGIApplication
sys.argv = ["gunicorn", "shop.wsgi"]
cfg = WSGIApplication().cfg
print(cfg.logger_class.__name__, cfg.worker_class.__name__, {name.partition(".")[0] for name in sys.modules})
"""


def test_it_loads_none_of_our_packages_so_that_a_reload_brings_new_code():
    done = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True)
    logger, worker, modules = done.stdout.split(" ", 2)
    assert (logger, worker) == ("GunicornLogger", "Worker")  # the file was read
    ours = {"shop", "marketing", "orders", "accounts", "catalog", "notifications", "backroom", "partners", "stack"}
    assert not {name for name in ours if f"'{name}'" in modules}
