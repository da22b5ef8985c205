"""A setting that would break a promise is an error at boot."""

import pytest

from jobs.checks import check_celery


@pytest.mark.parametrize(("grace", "found"), [(5, ["jobs.E005"]), (30, []), (70, [])])
def test_a_grace_in_which_no_job_could_end_is_an_error(settings, grace, found):
    settings.WORKER_GRACE = grace
    assert [error.id for error in check_celery(None)] == found
