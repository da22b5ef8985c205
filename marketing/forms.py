"""What people may subscribe to: an address with a mail that asks them back, and an account at once."""

from django import forms

from marketing.models import Subscription
from notifications.forms import TypedForm
from orders.storefront.forms import ColumnField

CHOICES = {
    "newsletter": "Newsletter: the season, now and then",
    "digest": "Daily digest: new products and offers, on days that have any",
    "reminders": "Reminders: of a cart that you left, and for a review of your order",
}


class SubscribeForm(TypedForm, forms.Form):
    """An address and at least one topic. Reminders are about an account's carts, so a guest has none."""

    email = ColumnField("email", "Email", "email", forms.EmailInput)
    topics = forms.MultipleChoiceField(
        label="What you get",
        choices=[(topic, CHOICES[topic]) for topic in ("newsletter", "digest")],
        initial=["newsletter"],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one."},
    )


class TopicsForm(forms.ModelForm):
    """All topics of an account, each on or off."""

    class Meta:
        model = Subscription
        fields = tuple(CHOICES)
        labels = CHOICES
        help_texts = dict.fromkeys(CHOICES, "")
