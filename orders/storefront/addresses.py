"""The delivery address that an account has saved, in the checkout and on its own page."""

from django.http import HttpRequest

from accounts.models import Customer
from orders.storefront.forms import AddressForm


def of(request: HttpRequest) -> dict[str, str]:
    """What the checkout knows of a signed-in customer, by the names of its fields; empty for a guest."""
    if not request.user.is_authenticated:
        return {}
    saved = Customer.objects.filter(pk=request.user.pk).first()
    address = {name: getattr(saved, name) for name in AddressForm.base_fields} if saved and saved.name else {}
    return {"email": request.user.email, **address}


def save(request: HttpRequest, form: AddressForm) -> None:
    """Keep a valid form's address for the next order; a guest's is not kept."""
    if request.user.is_authenticated:
        Customer.objects.update_or_create(user=request.user, defaults=form.delivery)
