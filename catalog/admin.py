"""The catalog in Django's admin."""

from django.contrib import admin
from django.contrib.admin.widgets import AdminIntegerFieldWidget
from django.db import models
from django.db.models.functions import Now
from django.urls import path

from catalog.imports import admin as import_admin  # noqa: F401 - registers the imports
from catalog.media import staff_pages
from catalog.models import BoughtTogether, Category, Product
from catalog.reviews import Review
from catalog.search import refresh
from catalog.search.tasks import warm_home_soon
from catalog.signals import restocked


class OnTheHomePage(admin.ModelAdmin):
    """The home page follows each change."""

    def save_model(self, *args):
        super().save_model(*args)
        warm_home_soon()

    def delete_model(self, *args):
        super().delete_model(*args)
        warm_home_soon()

    def delete_queryset(self, *args):
        super().delete_queryset(*args)
        warm_home_soon()


@admin.register(Category)
class CategoryAdmin(OnTheHomePage):
    list_display = ["name", "slug", "position"]
    list_editable = ["position"]
    prepopulated_fields = {"slug": ["name"]}


@admin.register(Product)
class ProductAdmin(OnTheHomePage):
    list_display = ["name", "category", "price", "was", "stock", "active", "unit", "vat_rate"]
    list_editable = ["price", "was", "stock", "active"]  # `was` must stay above the price
    formfield_overrides = {models.DecimalField: {"widget": AdminIntegerFieldWidget}}  # narrow, for the list
    list_filter = ["category", "active", "vat_rate"]
    list_select_related = ["category"]
    search_fields = ["name", "also_called", "description"]
    prepopulated_fields = {"slug": ["name"]}

    def get_urls(self):
        view = self.admin_site.admin_view
        return [
            path("<int:id>/media/", view(staff_pages.page), name="catalog_product_media"),
            path("<int:id>/media/add/", view(staff_pages.add), name="catalog_product_media_add"),
            path("<int:id>/media/<int:media>/act/", view(staff_pages.act), name="catalog_product_media_act"),
            *super().get_urls(),
        ]

    # An order may change the stock while staff have the form open. The form remembers the stock that it showed, and
    # only fields that staff changed are written.
    def formfield_for_dbfield(self, db_field, request, **kwargs):
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and db_field.name == "stock":
            field.show_hidden_initial = True
        return field

    def save_model(self, request, obj, form, change):
        changed = set(form.changed_data)
        if obj.was is not None and changed & {"was", "price"}:
            obj.offered_at = Now()
            changed.add("offered_at")
        obj.save(update_fields=changed if change else None)
        refresh(obj.pk)
        if change and changed & {"stock", "active"}:
            restocked.send(Product, product_ids=[obj.pk])


@admin.register(BoughtTogether)
class BoughtTogetherAdmin(admin.ModelAdmin):
    list_display = ["product", "other", "count"]
    list_select_related = ["product", "other"]
    autocomplete_fields = ["product", "other"]
    ordering = ["-count"]
    search_fields = ["product__name", "other__name"]


@admin.register(Review)
class ReviewAdmin(admin.ModelAdmin):
    """Staff approve or refuse; the customer's words stay as they are."""

    list_display = ["product", "stars", "text", "shown", "created_at"]
    list_editable = ["shown"]
    list_filter = ["shown", "stars"]
    list_select_related = ["product"]
    readonly_fields = ["product", "stars", "text", "created_at"]

    def formfield_for_dbfield(self, db_field, request, **kwargs):
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and db_field.name == "shown":
            field.widget.choices = [("unknown", "Not decided yet"), ("true", "Shown"), ("false", "Refused")]
        return field

    def has_add_permission(self, request):
        return False
