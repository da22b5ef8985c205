"""Reviews: who is asked, who may write one, and what becomes of it."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone

from accounts import personal_data
from catalog.models import Product
from catalog.reviews import Review
from marketing import reviews
from marketing.models import Subscription
from orders.fulfilment import notices
from orders.models import Order
from tests.integration.paid_orders import paid_order
from tests.integration.staff import text

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(settings) -> Order:
    """A delivered one, whose address has reminders."""
    settings.BACKROOM_PARTNER_RATES = {}
    Subscription.objects.create(email="kawiarnia@example.com", reminders=True, confirmed_at=Now())
    return paid_order("apples", "pears", delivered_at=timezone.now())


def page(order: Order) -> str:
    return order.review_url


def answer(order: Order, slug: str = "apples", stars: int = 4, words: str = "Crisp.") -> dict[str, str]:
    id = Product.objects.get(slug=slug).pk
    return {f"{id}-stars": str(stars) if stars else "", f"{id}-text": words}


class TestAsking:
    def test_the_mail_has_the_link_to_the_form(self, order, mailoutbox, client):
        reviews.ask(order.number)
        (mail,) = mailoutbox
        assert mail.to == ["kawiarnia@example.com"]
        assert mail.extra_headers["Message-ID"].startswith(f"<review.{order.number}@")
        assert mail.extra_headers["X-Order"] == str(order.number)
        assert page(order) in mail.body
        assert "Apples" in text(client.get(page(order)))

    def test_the_subscription_of_the_account_counts(self, order, mailoutbox):
        user = User.objects.create_user("reader", "reader@example.com")
        Order.objects.update(user=user)
        Subscription.objects.create(email=user.email, user=user, reminders=True, confirmed_at=Now())
        reviews.ask(order.number)
        assert [mail.to for mail in mailoutbox] == [["reader@example.com"]]

    @pytest.mark.parametrize(
        "change",
        [
            {"status": "cancelled"},
            {"erased_at": Now()},
            {"delivered_at": None},
            {"email": "other@example.com"},
            {"delivered_at": Now() - timedelta(days=22)},
        ],
        ids=["cancelled", "erased", "not delivered", "address without reminders", "long ago"],
    )
    def test_an_order_that_is_not_to_be_reviewed_sends_none(self, order, mailoutbox, change):
        Order.objects.update(**change)
        reviews.ask(order.number)
        assert mailoutbox == []

    def test_who_unsubscribed_or_has_written_one_is_not_asked(self, order, mailoutbox):
        Subscription.objects.update(reminders=False)
        reviews.ask(order.number)
        Subscription.objects.update(reminders=True)
        reviews.save(order, Product.objects.get(slug="apples").pk, 5, "")
        reviews.ask(order.number)
        assert mailoutbox == []


class TestWriting:
    def test_a_review_is_on_the_products_page_once_staff_have_approved_it(self, order, client):
        answer_page = client.post(page(order), answer(order, words="<script>alert(1)</script>"), follow=True)
        assert "Thank you." in text(answer_page)
        assert "Reviews" not in text(client.get("/products/apples/"))
        staff = Client()
        staff.force_login(User.objects.create_superuser("staff"))
        form = {"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": Review.objects.get().pk}
        assert ">Not decided yet<" in staff.get("/admin/catalog/review/").content.decode()
        assert staff.post("/admin/catalog/review/", form | {"form-0-shown": "true", "_save": "Save"}).status_code == 302
        shown = client.get("/products/apples/").content.decode()
        assert "4.0 of 5 stars, 1 review" in shown
        assert "&lt;script&gt;" in shown
        assert "<script>alert" not in shown

    def test_a_changed_review_waits_for_staff_again(self, order, client):
        client.post(page(order), answer(order))
        Review.objects.update(shown=True)
        client.post(page(order), answer(order))
        assert Review.objects.get().shown is True
        client.post(page(order), answer(order, stars=1, words="Soft."))
        assert (Review.objects.get().shown, Review.objects.get().stars) == (None, 1)

    @pytest.mark.parametrize(
        ("stars", "words", "sentence"),
        [(0, "Crisp.", "Choose the stars."), (0, "", "Choose the stars of a product."), (9, "", "9 is not one of")],
        ids=["words alone", "nothing", "too many stars"],
    )
    def test_a_wrong_answer_is_shown_again_with_a_sentence(self, order, client, stars, words, sentence):
        response = client.post(page(order), answer(order, stars=stars, words=words))
        assert response.status_code == 422
        assert sentence in response.content.decode()
        assert not Review.objects.exists()

    def test_a_product_of_another_order_can_not_be_reviewed(self, order, client):
        paid_order("figs")
        client.post(page(order), answer(order) | answer(order, slug="figs"))
        assert [review.product.slug for review in Review.objects.all()] == ["apples"]

    def test_the_account_of_the_order_needs_no_token_and_its_page_has_the_link(self, order):
        user = User.objects.create_user("owner", "owner@example.com")
        Order.objects.update(user=user)
        owner = Client()
        owner.force_login(user)
        for there in (f"/orders/{order.number}/", f"/orders/{order.number}/timeline/"):
            assert order.review_url in owner.get(there).content.decode().replace("&amp;", "&")
        assert f'/orders/{order.number}/review/"' in owner.get("/accounts/orders/").content.decode()
        assert owner.post(f"/orders/{order.number}/review/", answer(order)).status_code == 302
        assert Review.objects.count() == 1

    def test_the_mail_of_the_delivery_leads_a_guest_to_the_form(self, order, settings):
        message = notices.delivered(str(order.number), None)
        order.refresh_from_db()
        for suffix in ("txt", "html"):
            assert settings.SITE_URL + page(order) in render_to_string(f"{message.template}.{suffix}", message.context)

    @pytest.mark.parametrize("change", [{"token": "other"}, {"delivered_at": None}, {"status": "cancelled"}])
    def test_another_link_is_not_found(self, order, client, change):
        Order.objects.update(**change)
        assert client.get(page(order)).status_code == 404
        assert client.post(page(order), answer(order)).status_code == 404


def test_a_person_can_have_their_reviews_and_have_them_erased(order):
    reviews.save(order, Product.objects.get(slug="apples").pk, 4, "Crisp.")
    found = personal_data.export("KAWIARNIA@example.com", None)
    assert found["reviews"][0]["text"] == "Crisp."
    assert reviews.export("other@example.com", None) is None
    assert list(personal_data.erase("kawiarnia@example.com", None))
    assert not Review.objects.exists()


def test_the_review_of_another_accounts_order_stays_with_its_owner(order):
    owner, other = (User.objects.create_user(name, f"{name}@example.com") for name in ("owner", "kawiarnia"))
    Order.objects.update(user=owner)
    reviews.save(order, Product.objects.get(slug="apples").pk, 4, "Crisp.")
    assert reviews.export(order.email, other) is None
    assert reviews.erase(order.email, other) is None
    assert reviews.export(owner.email, owner)["reviews"][0]["text"] == "Crisp."
