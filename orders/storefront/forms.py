"""The forms of the cart and the checkout. They accept the same as the API."""

from typing import Any

from django import forms
from django_countries import countries

from notifications.addresses import in_ascii
from notifications.forms import TypedForm
from orders.cart import MAX_QUANTITY
from orders.ordering import delivery
from orders.payments import CARDS
from orders.storefront import text


class ColumnField(forms.Field):
    """A text for an order's column."""

    def __init__(self, column: str, label: str, autocomplete: str, widget: type[forms.Widget] = forms.TextInput):
        super().__init__(label=label, widget=widget(attrs={"autocomplete": autocomplete}))
        self.column = column

    def clean(self, typed: str | None) -> str:
        written = (typed or "").strip()
        return text.clean(self.column, in_ascii(written) if self.column == "email" else written)


class NumberField(forms.IntegerField):
    """An order's number, as our pages and mails write it, or with the # of a shorter hand."""

    def to_python(self, typed: Any) -> int | None:
        return super().to_python(typed.strip().removeprefix("#") if isinstance(typed, str) else typed)


def _quantity(least: int, too_few: str) -> forms.IntegerField:
    number, most = "Type the quantity as a whole number.", f"At most {MAX_QUANTITY} of one product."
    words = {"required": number, "invalid": number, "min_value": too_few, "max_value": most}
    return forms.IntegerField(min_value=least, max_value=MAX_QUANTITY, error_messages=words)


class FindForm(TypedForm, forms.Form):
    """Which order a customer looks for."""

    number = NumberField(
        label="Order number",
        min_value=1,
        max_value=2**63 - 1,
        error_messages=dict.fromkeys(["invalid", "min_value", "max_value"], "Type the number only, such as 48210937."),
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )
    email = ColumnField("email", "Email", "email", forms.EmailInput)


class CartForm(forms.Form):
    """Adds a quantity of a product."""

    product = forms.SlugField(max_length=50)
    quantity = _quantity(1, "Choose at least one.")


class UpdateForm(CartForm):
    """Sets the quantity of a product; 0 removes it."""

    quantity = _quantity(0, "Choose none or more.")
    step = forms.IntegerField(required=False, min_value=-1, max_value=1)  # of the buttons beside the quantity


def _country(**attributes: str) -> forms.ChoiceField:
    return forms.ChoiceField(
        label="Country",
        choices=[each for each in countries if each.code in delivery.ZONES],
        initial=delivery.DEFAULT,
        error_messages={"invalid_choice": "We do not deliver to this country yet."},
        widget=forms.Select(attrs={"autocomplete": "country"} | attributes),
    )


class AddressForm(TypedForm, forms.Form):
    """Where an order goes to."""

    name = ColumnField("name", "Name", "name")
    address = ColumnField("address", "Street and number", "street-address")
    postcode = ColumnField("postcode", "Postcode", "postal-code")
    city = ColumnField("city", "City", "address-level2")
    country = _country()

    @property
    def delivery(self) -> dict[str, str]:
        """The fields of an address, once the form is valid."""
        return {name: self.cleaned_data[name] for name in AddressForm.base_fields}


class CheckoutForm(AddressForm):
    """An order. `key` is its idempotency key: a form that is sent twice is one order."""

    email = ColumnField("email", "Email", "email", forms.EmailInput)
    # A change shows the delivery's cost. Without JavaScript the order is refused once, and shows it then.
    country = _country(**{
        "hx-get": "", "hx-target": "#sums", "hx-select": "#sums", "hx-swap": "outerHTML", "hx-sync": "this:replace"
    })  # fmt: skip
    card = forms.ChoiceField(label="Payment", choices=CARDS.items(), initial="demo-approve", widget=forms.RadioSelect)
    save = forms.BooleanField(label="Save this address", required=False)  # of an account
    key = forms.CharField(max_length=64, required=False, widget=forms.HiddenInput)

    field_order = ["email"]

    @property
    def customer(self) -> dict[str, Any]:
        """The fields of checkout.Customer, once the form is valid."""
        return {"email": self.cleaned_data["email"], **self.delivery}
