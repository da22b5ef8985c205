from django.urls import path

from notifications import webhooks

app_name = "notifications"
urlpatterns = [
    path("webhooks/sms", webhooks.sms),
    path("webhooks/mail", webhooks.mail),
]
