"""The jobs that keep the search index and the home page fresh. Each change of products enqueues some in its
transaction. They stand apart from the room's other tasks: the verbs behind those import this module."""

from collections.abc import Collection
from datetime import timedelta

from backroom import enqueue_all, task
from catalog import home
from catalog.search import index

SOON = timedelta(seconds=10)  # changes that come meanwhile share one warming of the home page


def refresh(product: int) -> None:
    """Let the search and the home page follow a change of one product. However many changes come while the job waits,
    it is one."""
    refresh_product.enqueue(product)


def refresh_many(ids: Collection[int]) -> None:
    """As `refresh`, for the products of an import: one job for each index.CHUNK of them."""
    ordered = sorted(set(ids))
    chunks = [ordered[at : at + index.CHUNK] for at in range(0, len(ordered), index.CHUNK)]
    enqueue_all(*map(refresh_products.call, chunks))


@task(name="catalog.refresh_product", unique=("refresh:{product}", "while waiting"), atomic=True)
def refresh_product(product: int) -> None:
    """Write one product into the index."""
    _follow([product])


@task(name="catalog.refresh_products", queue="bulk", atomic=True)
def refresh_products(products: list[int]) -> None:
    """Write some products into the index."""
    _follow(products)


def _follow(products: list[int]) -> None:
    index.write(products)
    warm_home_soon()


@task(name="catalog.rebuild_search", queue="bulk", unique=("rebuild-search", "while live"))
def rebuild_search() -> None:
    """Build the index anew."""
    index.rebuild()


def warm_home_soon() -> None:
    warm_home.using(run_after=SOON).enqueue()


@task(name="catalog.warm_home", unique=("home", "while waiting"), atomic=True)
def warm_home() -> None:
    """Choose what the home page shows."""
    home.warm()
