from django.urls import path
from django.views.generic import TemplateView

from notifications import webhooks

app_name = "notifications"
urlpatterns = [
    path("webhooks/sms", webhooks.sms),
    path("webhooks/mail", webhooks.mail),
    # At the root, as a service worker sees the pages below its own address.
    path(
        "service-worker.js",
        TemplateView.as_view(template_name="notifications/service_worker.js", content_type="text/javascript"),
        name="service_worker",
    ),
]
