"""The pages of subscribing and unsubscribing. A mail's link opens a page with a button, as scanners follow links."""

from allauth.account.models import EmailAddress
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from accounts.access import customer_required
from backroom.inbound import limits
from backroom.inbound.client import client_of
from marketing import subscriptions
from marketing.forms import SubscribeForm, TopicsForm
from marketing.models import Subscription

ANSWER = "Check your inbox: open the link in our mail to subscribe."


@require_http_methods(["GET", "HEAD", "POST"])
def newsletter(request: HttpRequest) -> HttpResponse:
    """Subscribe an address. The answer is the same for each, and so are the steps."""
    email = getattr(request.user, "email", "")
    form = SubscribeForm(request.POST if request.method == "POST" else None, initial={"email": email})
    if form.is_bound and form.is_valid():
        email = form.cleaned_data["email"]
        limits.take(request, newsletter_by_client=client_of(request), newsletter_by_email=email.lower())
        subscriptions.subscribe(email, form.cleaned_data["topics"])
        messages.success(request, ANSWER)
        return redirect("marketing:newsletter")
    return render(request, "marketing/newsletter.html", {"form": form}, status=422 if form.is_bound else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: HttpRequest) -> HttpResponse:
    """The second half of the double opt-in."""
    token = request.GET.get("token", "")
    done = request.method == "POST"
    asked = subscriptions.asked(token)
    if asked is None or (done and not subscriptions.confirm(token)):
        return render(request, "marketing/confirm.html", {}, status=410)
    subscription, topics = asked
    context = {"good": True, "done": done, "email": subscription.email, "topics": subscriptions.named(topics)}
    return render(request, "marketing/confirm.html", context)


@csrf_exempt  # a mailbox posts without a cookie (RFC 8058): the link's signature is the proof
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, topic: str) -> HttpResponse:
    """A page with a button; its POST, or a mailbox's, unsubscribes and is always 200."""
    token = request.GET.get("token", "")
    if (topic != subscriptions.ALL and topic not in subscriptions.TOPICS) or subscriptions.leaving(token) is None:
        raise Http404
    if done := request.method == "POST":
        topic = subscriptions.ALL if "all" in request.POST else topic
        subscriptions.unsubscribe(token, topic)
    context = {"topic": subscriptions.TOPICS.get(topic, ""), "done": done}
    return render(request, "marketing/unsubscribe.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@customer_required
def account(request: HttpRequest) -> HttpResponse:
    """The topics of a signed-in customer. The address is verified, so a change needs no mail."""
    address = EmailAddress.objects.filter(user=request.user, primary=True, verified=True).first()
    if address is None:
        return redirect("account_email")
    subscription = Subscription.objects.filter(email=address.email.lower()).first() or Subscription()
    form = TopicsForm(request.POST if request.method == "POST" else None, instance=subscription)
    if form.is_bound and form.is_valid():
        subscriptions.choose(request.user, address.email, form.cleaned_data)
        messages.success(request, "Saved.")
        return redirect("marketing:subscriptions")
    return render(request, "marketing/subscriptions.html", {"form": form})
