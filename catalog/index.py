"""The tables of the search index, in generations: a new one is made beside the live one."""

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models.functions import Now


class SearchEntry(models.Model):
    """One product in one generation of the index. `words` are its plain, unaccented names, for trigrams."""

    generation = models.PositiveIntegerField()
    # The database deletes an entry after its product (migration 0009); Django would delete it before. Race: a refresh
    # writes an entry between the two, which would fail the deletion at its commit.
    product = models.ForeignKey("catalog.Product", on_delete=models.DO_NOTHING, related_name="search_entries")
    document = SearchVectorField()
    words = models.TextField()
    bought = models.PositiveIntegerField(default=0, help_text="how often, for the order of equal matches")

    class Meta:
        verbose_name_plural = "search entries"
        constraints = [models.UniqueConstraint(fields=["generation", "product"], name="catalog_searchentry_once")]
        indexes = [
            GinIndex(fields=["document"], name="catalog_searchentry_document"),
            GinIndex(OpClass("words", name="gin_trgm_ops"), name="catalog_searchentry_words"),
        ]

    def __str__(self) -> str:
        return f"{self.product_id} in generation {self.generation}"


class SearchIndex(models.Model):
    """The single row that says which generation is searched, and which one is being built."""

    live = models.PositiveIntegerField(default=1)
    building = models.PositiveIntegerField(null=True)
    built_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "search index"
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="catalog_searchindex_single")]

    def __str__(self) -> str:
        return f"Generation {self.live}"
