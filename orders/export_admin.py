"""Exports in Django's admin: a form that starts one, its page with the progress, and the file."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.files.storage import default_storage
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_safe

from backroom.ledger.models import LIVE, Job
from backroom.observe.models import Progress
from backroom.ops import audit_log
from backroom.ops.admin import ReadOnly
from orders.exports import files, links
from orders.exports.tables import MOST, table
from orders.models import Export


class ExportForm(forms.ModelForm):
    class Meta:
        help_texts = {"since": "The first day, in UTC. Empty: from the beginning.", "until": "The last day."}

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("since") and data.get("until") and data["since"] > data["until"]:
            self.add_error("until", "Enter a day that is not before the first.")
        if not self.errors:
            export = Export(**data)
            if table(export).found(export, timezone.now()).order_by()[: MOST + 1].count() > MOST:
                self.add_error("since", f"A file holds {MOST:,} rows. Choose fewer days.")
        return data


@admin.register(Export)
class ExportAdmin(ReadOnly, admin.ModelAdmin):
    form = ExportForm
    fields = ["kind", "form", "since", "until"]
    list_display = ["__str__", "kind", "form", "since", "until", "rows", "user", "created_at", "made_at"]
    list_select_related = ["user"]
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(links.kinds(request.user))

    def has_view_permission(self, request: HttpRequest, obj: Export | None = None) -> bool:
        return self.has_add_permission(request) or super().has_view_permission(request, obj)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        context |= {"title": "Start an export", "show_save_and_add_another": False, "show_save_and_continue": False}
        return super().render_change_form(request, context, *args, **kwargs)

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "kind":
            kwargs["choices"] = [(kind.value, kind.label) for kind in links.kinds(request.user)]
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Export, form: forms.ModelForm, change: bool) -> None:
        """The export, its jobs and the note of the audit log are one transaction: the admin's."""
        obj.user_id = request.user.pk
        files.start(obj)
        days = f"from {obj.since or 'the first day'} to {obj.until or 'now'}"
        audit_log.note("started", f"export {obj.pk}, {obj.kind} {days}", request.user.get_username())

    def response_add(self, request: HttpRequest, obj: Export, *args: Any) -> HttpResponse:
        return redirect("admin:orders_export_change", obj.pk)

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Its page. It requests itself again until the file is made."""
        export = self.get_object(request, object_id)
        if export is None or request.method not in ("GET", "HEAD") or not self.has_view_permission(request, export):
            return super().change_view(request, object_id, *args, **kwargs)
        job = Job.objects.filter(key=files.keys(export)[0]).first()
        context = self.admin_site.each_context(request) | {
            "title": f"{export}: {export.get_kind_display()}",
            "export": export,
            "job": job,
            "waits": export.made_at is None and job is not None and job.state in LIVE,
            "reported": Progress.objects.filter(job_id=job.pk).order_by("-claim").first() if job else None,
            "until": export.made_at and export.made_at + links.LASTS,
            "link": links.link(export) if export.file and export.user_id == request.user.pk else "",
        }
        return TemplateResponse(request, "admin/orders/export/page.html", context)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_safe(file))
        return [path("file/", view, name="orders_export_file"), *super().get_urls()]


def file(request: HttpRequest) -> HttpResponseBase:
    """The file, by its link. A link that is forged, too old or another person's is the same 404."""
    export = links.opened(request.GET.get("token", ""), request.user.pk)
    if export is None:
        raise Http404("No export of this person has this link.")
    try:
        content = default_storage.open(export.file)
    except FileNotFoundError:  # deleted at this moment
        raise Http404("The file is deleted.") from None
    audit_log.note("downloaded", f"export {export.pk}, {export.kind}", request.user.get_username())
    name = f"{export.kind}-{export.created_at:%Y-%m-%d}.{export.form}"
    return FileResponse(content, as_attachment=True, filename=name)
