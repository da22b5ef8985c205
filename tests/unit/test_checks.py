"""A setting that would break a promise is an error at boot."""

import pytest

from backroom.runtime.checks import check_celery


@pytest.fixture(autouse=True)
def _somebody_on_call(settings):
    settings.ALERT_MAIL_TO = ["oncall@shop.example"]


@pytest.mark.parametrize(("grace", "found"), [(5, ["backroom.E005"]), (30, []), (70, [])])
def test_a_grace_in_which_no_job_could_end_is_an_error(settings, grace, found):
    settings.WORKER_GRACE = grace
    assert [error.id for error in check_celery(None)] == found


def test_nobody_to_be_mailed_when_something_is_wrong_is_a_warning(settings):
    settings.ALERT_MAIL_TO = []
    (warning,) = check_celery(None)
    assert (warning.id, "ALERT_MAIL_TO" in warning.hint) == ("backroom.W002", True)
