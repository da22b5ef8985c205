"""URLs of the cart, the checkout, the orders, also of an account, the API's start and the partners' webhooks."""

from django.conf import settings
from django.urls import path
from django.views.generic import RedirectView

from backroom.inbound import webhooks
from orders.ordering import payment_events, shipments
from orders.storefront import account_pages, find, order_pages, views

app_name = "orders"

warehouse = webhooks.receiver(lambda: settings.WEBHOOK_SECRETS["warehouse"])(shipments.record)
payments = webhooks.receiver(lambda: settings.WEBHOOK_SECRETS["payments"])(payment_events.record)

urlpatterns = [
    path("cart/", views.cart, name="cart"),
    path("cart/add/", views.cart_add, name="cart-add"),
    path("cart/update/", views.cart_update, name="cart-update"),
    path("checkout/", views.checkout_page, name="checkout"),
    path("orders/find/", find.find, name="find"),
    path("orders/<int:number>/", order_pages.order, name="order"),
    path("orders/<int:number>/cancel/", order_pages.cancel, name="cancel"),
    path("orders/<int:number>/timeline/", order_pages.order_timeline, name="timeline"),
    path("orders/<int:number>/invoice.pdf", order_pages.invoice, name="invoice"),
    path("orders/<int:number>/credit-note.pdf", order_pages.credit_note, name="credit-note"),
    path("orders/<int:number>/add/", account_pages.claim, name="claim"),
    path("accounts/orders/", account_pages.history, name="history"),
    path("accounts/orders/<int:number>/again/", account_pages.again, name="again"),
    path("accounts/address/", account_pages.address, name="address"),
    path("webhooks/warehouse", warehouse, name="warehouse"),
    path("webhooks/payments", payments, name="payments"),
    path("api/", RedirectView.as_view(pattern_name="api:openapi-view")),
]
