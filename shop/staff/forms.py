"""The forms for a code. Spaces and case don't matter: people read it off a phone or paper."""

from django import forms

WORDS = {"autocomplete": "one-time-code", "autocapitalize": "none", "spellcheck": "false", "autofocus": True}


class CodeForm(forms.Form):
    """A code of the app, or a recovery code."""

    code = forms.CharField(label="Code", max_length=20, widget=forms.TextInput(WORDS))

    def clean_code(self) -> str:
        return "".join(self.cleaned_data["code"].split()).lower()


class EnrolForm(forms.Form):
    """A code of the app only."""

    code = forms.RegexField(
        r"^[0-9]{3}\s?[0-9]{3}$",
        label="Code from the app",
        widget=forms.TextInput(WORDS | {"inputmode": "numeric"}),
        error_messages={"invalid": "Enter the six digits that the app shows."},
    )

    def clean_code(self) -> str:
        return "".join(self.cleaned_data["code"].split())
