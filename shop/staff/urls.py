from django.contrib.auth.views import LogoutView
from django.urls import path

from shop.staff import views

app_name = "staff"
urlpatterns = [
    path("code/", views.Code.as_view(), name="code"),
    path("enrol/", views.Enrol.as_view(), name="enrol"),
    path("sign-out/", LogoutView.as_view(next_page="admin:login"), name="sign-out"),
]
