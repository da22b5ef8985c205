"""The Celery tasks of this room. Each runs one verb."""

from datetime import timedelta

from backroom import enqueue_all, enqueue_many, task
from marketing import campaigns, carts, digests, mails, personal_data, stock_alerts
from marketing.subscriptions import MAIL_CONFIRMATION, PATIENT


@task(
    name=MAIL_CONFIRMATION, queue="critical", key="confirm:{subscription}-{topics}-{slot}", retry=PATIENT
)  # fmt: skip
def mail_confirmation(subscription: int, topics: str, slot: int) -> None:
    """Ask the owner of an address whether they want these topics."""
    mails.send_confirmation(subscription, topics, slot)


@task(
    name="marketing.remind_of_cart", queue="bulk", unique=(carts.NAME, "while waiting"), duplicate="replace",
    expires=timedelta(days=1), retry=PATIENT,
)  # fmt: skip
def remind_of_cart(cart: int) -> None:
    """Each change of the cart moves it."""
    carts.remind(cart)


@task(name="marketing.tell_those_waiting", queue="bulk", unique=("restock:{product}", "while waiting"))
def tell_those_waiting(product: int) -> None:
    """Enqueue the alerts for a product that is back in stock, in the order asked."""
    enqueue_many(tell.call(alert, product) for alert in stock_alerts.waiting(product))


@task(
    name="marketing.tell", queue="bulk", unique=("stock-alert:{alert}", "while waiting"), in_order="restock:{product}",
    atomic=True,
)  # fmt: skip
def tell(alert: int, product: int) -> None:
    """Make a notice of an alert."""
    stock_alerts.tell(alert)


@task(name="marketing.find_restocked", queue="bulk")
def find_restocked() -> None:
    """Tell those whose product came back without the signal: by SQL, or by a process of an older release."""
    enqueue_many(tell_those_waiting.call(product) for product in stock_alerts.awaited())


@task(name="marketing.enqueue_digests", queue="bulk")
def enqueue_digests() -> int:
    """Enqueue the digests of those whose day has begun; returns how many."""
    return digests.scan(send_digest.call)


@task(
    name="marketing.send_digest", queue="bulk", key="digest:{subscription}-{day}", retry=PATIENT, fair="digest:{day}"
)  # fmt: skip
def send_digest(subscription: int, day: str, last: str) -> None:
    """Mail the digest of a local day (YYYYMMDD): the news since the last one's, or "" for a first one."""
    digests.send(subscription, day, last)


@task(name=personal_data.FORGET, queue="bulk", key="forget-reader:{subscription}", retry=PATIENT)
def forget_reader(subscription: int) -> None:
    """Have the mail server forget an erased subscriber."""
    personal_data.forget(subscription)


@task(name="marketing.mail_test", queue="critical", key="campaign-test:{campaign}-{user}-{slot}", retry=PATIENT)
def mail_test(campaign: int, user: int, slot: int) -> None:
    """Mail a campaign to the one who writes it."""
    mails.send_test(campaign, user, slot)


@task(name=campaigns.SEND_SLICE, queue="bulk", key="campaign-slice:{campaign}-{after}", retry=PATIENT, atomic=True)
def send_slice(campaign: int, after: int) -> None:
    """Enqueue a campaign's next slice, and the job of the one behind it."""
    if found := campaigns.next_slice(campaign, after):
        mails = (mail_campaign.call(campaign, each) for each in found)
        enqueue_all(*mails, send_slice.using(run_after=timedelta(seconds=campaigns.NEXT)).call(campaign, found[-1]))


@task(name=campaigns.WAKE, queue="bulk")
def wake_campaign(campaign: int) -> None:
    """Wake the jobs of a resumed campaign once more."""
    campaigns.wake(campaign)


@task(
    name="marketing.mail_campaign", queue="bulk", key="campaign:{campaign}-{subscription}", retry=PATIENT,
    fair=campaigns.LANE,
)  # fmt: skip
def mail_campaign(campaign: int, subscription: int) -> str:
    """One mail to one recipient; returns what became of it."""
    return campaigns.send(campaign, subscription)


@task(name="marketing.erase_unconfirmed", queue="bulk")
def erase_unconfirmed() -> int:
    """Erase addresses that were entered and never confirmed."""
    return personal_data.erase_unconfirmed()
