"""The form in which a person chooses how we reach them."""

import re
from typing import Any, cast
from zoneinfo import available_timezones

from django import forms
from django.conf import settings

from notifications.models import Channel, Contact

AREAS = ["Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"]
# Others are aliases, such as US/Pacific, or not where a person lives.
ZONES = [*sorted(zone for zone in available_timezones() if zone.partition("/")[0] in AREAS), "UTC"]


def e164(typed: str) -> str:
    """+353861234567 of "+353 (86) 123-4567" or "00353 86 1234567"; "" of nothing. Raises ValidationError."""
    number = re.sub(r"^00", "+", re.sub(r"[\s().\u2010-\u2013/-]", "", typed))
    if number and not re.fullmatch(r"\+[1-9][0-9]{6,14}", number):
        raise forms.ValidationError("Enter the number with its country code, such as +353 86 123 4567.")
    return number


class TypedForm(forms.BaseForm):
    """A form on a page: once it is invalid, the focus is on the first wrong field. It has no maxlength, by which a
    browser would cut a text without a word."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for field in self.fields.values():
            field.widget.attrs.pop("maxlength", None)

    def full_clean(self) -> None:
        super().full_clean()
        for name in self.fields:
            if name in self.errors:
                self.fields[name].widget.attrs["autofocus"] = True
                break


class ContactForm(TypedForm, forms.ModelForm):
    phone = forms.CharField(
        label="Phone number",
        required=False,
        help_text="With its country code, such as +353 86 123 4567. For SMS only.",
        max_length=40,
        widget=forms.TextInput(attrs={"type": "tel", "autocomplete": "tel"}),
    )
    time_zone = forms.ChoiceField(label="Time zone", choices=[(zone, zone.replace("_", " ")) for zone in ZONES])

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if not settings.VAPID_PRIVATE_KEY:
            channel = cast(forms.ChoiceField, self.fields["channel"])
            channel.choices = [choice for choice in Channel.choices if choice[0] != Channel.PUSH]
        if self.instance._state.adding:
            self.fields["time_zone"].widget.attrs["data-preset"] = ""  # browser.js chooses the browser's own

    class Meta:
        model = Contact
        fields = ["channel", "phone", "time_zone"]
        widgets = {"channel": forms.RadioSelect}

    def clean_phone(self) -> str:
        return e164(self.cleaned_data["phone"])

    def clean_channel(self) -> str:
        channel = self.cleaned_data["channel"]
        if channel == Channel.PUSH and not self.instance.user.push_subscriptions.exists():
            raise forms.ValidationError("First turn them on in this browser, under Browsers below.")
        return channel

    def clean(self) -> None:
        if self.cleaned_data.get("channel") == Channel.SMS and self.cleaned_data.get("phone") == "":
            self.add_error("phone", "Enter a phone number for SMS.")
