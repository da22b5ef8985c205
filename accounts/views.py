"""The pages of an account that allauth does not have."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.access import customer_required


@require_safe
@customer_required
def overview(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/overview.html")
