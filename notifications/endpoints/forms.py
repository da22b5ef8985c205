"""The form of an endpoint."""

from django import forms

from backroom.outbound import strangers
from notifications.endpoints.events import TYPES
from notifications.endpoints.models import Endpoint
from notifications.forms import TypedForm

MOST = 10  # endpoints of an account; of two new ones at once, one more may pass


class EndpointForm(TypedForm, forms.ModelForm):
    url = forms.URLField(
        label="Address",
        max_length=500,
        assume_scheme="https",
        help_text="We send events to it by POST. It answers with a 2xx status within 7 seconds.",
        widget=forms.URLInput(attrs={"placeholder": "https://example.com/webhooks", "autocomplete": "off"}),
    )
    events = forms.MultipleChoiceField(
        label="Events",
        required=False,
        choices=[(type, f"{type}: {what}") for type, what in TYPES.items()],
        help_text="Choose none to get all.",
        widget=forms.CheckboxSelectMultiple,
    )

    class Meta:
        model = Endpoint
        fields = ["url", "events", "in_order"]

    def clean_url(self) -> str:
        url = self.cleaned_data["url"]
        try:
            strangers.check(url)
        except strangers.NotCallable as error:
            raise forms.ValidationError(str(error)) from error
        return url

    def clean(self) -> None:
        mine = Endpoint.objects.filter(user=self.instance.user_id)
        if self.instance._state.adding and mine.count() >= MOST:
            raise forms.ValidationError(f"An account can have {MOST} endpoints. Delete one first.")
