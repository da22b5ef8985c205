"""The pages between the password and the admin or /ops/: the code, and the enrolment of a device."""

import re
from base64 import b32encode
from typing import Any

import django_otp
import segno
from django.contrib import admin, messages
from django.contrib.auth import get_user
from django.contrib.auth.models import User
from django.contrib.auth.views import RedirectURLMixin, redirect_to_login
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.generic import FormView
from django_otp.models import Device
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice, default_key

from backroom.inbound.limits import LimitReached
from shop.security_events import record
from shop.staff import second_factor, session
from shop.staff.forms import CodeForm, EnrolForm

KEY = "staff_key"  # in the session, of a device that is not enrolled yet


def sign_in(request: HttpRequest) -> HttpResponseBase:
    """The admin's page for the password. After it, every refusal leads here, and on to the page for the code."""
    if request.method == "GET" and not request.user.is_authenticated and second_factor.must_verify(get_user(request)):
        return redirect_to_login(request.GET.get("next", reverse("admin:index")), reverse("staff:code"))
    return admin.site.login(request)


class Step(RedirectURLMixin, FormView):
    """A page for the `person` who gave the password. `request.user` is anonymous until the code has come."""

    next_page = "admin:index"
    person: User

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.verified = request.user.is_authenticated  # first: it ends a session that is over
        person = get_user(request)
        if not second_factor.must_verify(person):
            return self.go_to("admin:login")
        self.person = person  # type: ignore[assignment]
        return self.elsewhere() or super().dispatch(request, *args, **kwargs)

    def elsewhere(self) -> HttpResponseBase | None:
        """Where a person goes who has no business on this page."""
        raise NotImplementedError

    def go_to(self, page: str) -> HttpResponseBase:
        """Another page, which leads on to where this one would."""
        return redirect_to_login(self.get_success_url(), reverse(page))

    def refuse(self, form: Form, words: str) -> HttpResponse:
        """The form again. A wrong code counts as a failed sign-in."""
        record("sign-in failed", self.request, user=self.person.pk, factor="code")
        form.add_error("code", words)
        return self.form_invalid(form)

    def form_invalid(self, form: Form, **response: Any) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), **{"status": 422, **response})

    def let_in(self, device: Device) -> None:
        """The session gets a new id, as with the password: one that leaked before is of no use."""
        self.request.session.cycle_key()
        self.request.session[session.VERIFIED] = True
        self.request.user = self.person
        django_otp.login(self.request, device)


class Code(Step):
    """The code of a device that is enrolled."""

    template_name, form_class = "staff/code.html", CodeForm

    def elsewhere(self) -> HttpResponseBase | None:
        if self.verified:
            return HttpResponseRedirect(self.get_success_url())  # `redirect` would take "foo" for the name of a view
        return None if second_factor.enrolled(self.person) else self.go_to("staff:enrol")

    def form_valid(self, form: Form) -> HttpResponse:
        try:
            device = second_factor.check(self.request, self.person, form.cleaned_data["code"])
        except LimitReached as error:
            form.add_error("code", str(error))
            return self.form_invalid(form, status=429, headers={"Retry-After": str(error.seconds)})
        if not device:
            return self.refuse(form, "This code is wrong or was used before. Wait for the next one.")
        self.let_in(device)
        record("signed in", self.request, user=self.person.pk, factor=device.name)
        if isinstance(device, StaticDevice):
            left = device.token_set.count()
            messages.warning(
                self.request, f"Recovery codes left: {left}. To enrol a new phone, open “Second factor” in the admin."
            )
        return super().form_valid(form)


class Enrol(Step):
    """A new device: the first one, or one in place of the old. It needs a password that came a moment ago."""

    template_name, form_class = "staff/enrol.html", EnrolForm

    def elsewhere(self) -> HttpResponseBase | None:
        if self.verified and not session.fresh(self.request):
            self.request.session.flush()
            return redirect_to_login(self.request.get_full_path(), reverse("admin:login"))
        return self.go_to("staff:code") if not self.verified and second_factor.enrolled(self.person) else None

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        key = self.request.session.setdefault(KEY, default_key())
        device = TOTPDevice(user=self.person, key=key)
        picture = segno.make(device.config_url).svg_data_uri(scale=5, light="#fff")
        secret = " ".join(re.findall("....", b32encode(device.bin_key).decode()))  # to be typed
        return super().get_context_data(picture=picture, secret=secret, verified=self.verified, **kwargs)

    def form_valid(self, form: Form) -> HttpResponse:
        key = self.request.session.get(KEY, "")
        made = second_factor.enrol(self.person, key, form.cleaned_data["code"], replace=self.verified) if key else None
        if not made:
            return self.refuse(form, "This code does not match. Is the phone's clock right?")
        device, codes = made
        del self.request.session[KEY]
        self.let_in(device)
        record("signed in", self.request, user=self.person.pk, factor="new device")
        return render(self.request, "staff/recovery_codes.html", {"codes": codes, "next": self.get_success_url()})
