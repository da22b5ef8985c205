"""What customers ask and say of a product: a notice once it is back in stock, and a review once they have it."""

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from accounts.access import customer_required
from catalog.models import Product
from catalog.reviews import MOST, Review
from marketing import reviews, stock_alerts
from notifications.forms import TypedForm
from orders.storefront.order_pages import opened

FORM = ["GET", "HEAD", "POST"]


@require_http_methods(FORM)
@customer_required
def stock_alert(request: HttpRequest, slug: str) -> HttpResponse:
    """Note that the customer waits for the product. After a sign-in the browser comes by GET, back to the product."""
    product = get_object_or_404(Product, slug=slug, active=True)
    if request.method == "POST":
        if stock_alerts.ask(request.user.pk, product):  # type: ignore[arg-type] # customer_required
            messages.success(request, f"We will tell you when {product.name} is back in stock.")
        else:
            messages.info(request, f"{product.name} is back in stock.")
    return redirect(product)


class ReviewForm(TypedForm, forms.Form):
    """One product of an order. Without stars and text it is left out."""

    stars = forms.TypedChoiceField(
        label="Stars",
        choices=[(stars, str(stars)) for stars in range(1, MOST + 1)],
        coerce=int,
        required=False,
        empty_value=None,
        widget=forms.RadioSelect,
    )
    text = forms.CharField(
        label="Your review, shown without your name",
        required=False,
        validators=Review._meta.get_field("text").validators,
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def clean(self) -> None:
        if self.cleaned_data.get("text") and not self.cleaned_data.get("stars"):
            self.add_error("stars", "Choose the stars.")


@require_http_methods(FORM)
def review(request: HttpRequest, number: int) -> HttpResponse:
    """A form for each product of a delivered order, opened as its page is."""
    order = opened(request, number)
    if not order.reviewable:
        raise Http404("This order can't be reviewed.")
    written = {one.product_id: one for one in Review.objects.filter(order=number)}
    products = Product.objects.filter(pk__in=order.lines.values("product_id")).order_by("name")
    rows = [(product, _form(request, product, written.get(product.pk))) for product in products]
    if request.method != "POST":
        return render(request, "marketing/review.html", {"rows": rows, "order": order})
    valid = [form.is_valid() for _, form in rows]  # of all, so that each shows its errors
    if all(valid):
        given = [(product, form.cleaned_data) for product, form in rows if form.cleaned_data["stars"]]
        for product, answer in given:
            reviews.save(order, product.pk, answer["stars"], answer["text"])
        if given:
            messages.success(request, "Thank you. We show your review once we have read it.")
            return redirect(order)
        messages.error(request, "Choose the stars of a product.")
    return render(request, "marketing/review.html", {"rows": rows, "order": order}, status=422)


def _form(request: HttpRequest, product: Product, written: Review | None) -> ReviewForm:
    initial = {"stars": written.stars, "text": written.text} if written else None
    return ReviewForm(request.POST if request.method == "POST" else None, initial=initial, prefix=str(product.pk))
