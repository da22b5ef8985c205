"""The Celery tasks of this app. A person waits for each mail: its queue has only small jobs, whatever campaign runs."""

from accounts import customers, data_mails, erasure, exports, mails
from backroom import Retry, task

PATIENT = Retry(attempts=16, first=2, cap=1800)  # about three hours


@task(name="accounts.mail_verification", queue="critical", key="verification:{address}-{slot}", retry=PATIENT)
def mail_verification(address: int, slot: int) -> None:
    """Mail the link that verifies an address."""
    mails.send_verification(address, slot)


@task(name="accounts.mail_reset", queue="critical", key="reset:{address}-{slot}", retry=PATIENT)
def mail_reset(address: int, slot: str) -> None:
    """Mail the link that sets a new password. The job of an unknown address has the number 0, and sends none."""
    mails.send_reset(address, slot)


@task(name="accounts.mail_address_changed", queue="critical", key="address-changed:{former}", retry=PATIENT)
def mail_address_changed(former: int) -> None:
    """Tell the address that an account had."""
    mails.send_address_changed(former)


@task(name="accounts.mail_password_changed", queue="critical", key="password-changed:{user}-{at}", retry=PATIENT)
def mail_password_changed(user: int, at: int) -> None:
    """Tell a person that their password was changed, at a time in milliseconds since 1970."""
    mails.send_password_changed(user, at)


@task(name="accounts.delete_unverified", queue="bulk")
def delete_unverified() -> int:
    """Delete the accounts of the day before whose address was never verified."""
    return customers.delete_unverified()


@task(name="accounts.make_export", key="export:{export}", retry=PATIENT)
def make_export(export: int) -> None:
    """Write the document of a person's data."""
    exports.make(export)


@task(name="accounts.mail_export", key="export-link:{export}", retry=PATIENT)
def mail_export(export: int) -> None:
    """Mail the link to a person's export."""
    data_mails.send_export(export)


@task(name="accounts.purge_exports", queue="bulk")
def purge_exports() -> int:
    """Delete old exports."""
    return exports.purge()


@task(name="accounts.mail_deletion", key="deletion:{user}", retry=PATIENT)
def mail_deletion(user: int) -> None:
    """Tell a person that their account is being deleted."""
    data_mails.send_deletion(user)


@task(name="accounts.delete_account", key="account:{user}", retry=PATIENT)
def delete_account(user: int) -> None:
    """Delete a closed account, once all that it held is erased."""
    erasure.delete_account(user)
