"""The search index's rebuild, interrupted before a step's commit."""

from signal import SIGKILL

import urllib3

from backroom.ledger.models import Job
from catalog.index import SearchEntry, SearchIndex
from catalog.models import Product
from catalog.search import refresh
from catalog.search.tasks import rebuild_search
from tests.chaos.context import TIMEOUT, Context
from tests.chaos.faults import Fault, strike
from tests.waiting import until

A_CHUNK, THE_SWAP = "", ", None]"  # in the repr of a step's cursor


def rebuild(step: str) -> Fault:
    """SIGKILL to the child. The old generation serves; a product edited meanwhile is in the new one as it is now."""

    def fault(context: Context) -> None:
        armed = context.arm("in a step of a resumable job", "worker-bulk", step)
        id = rebuild_search.enqueue()
        hit = armed.wait(TIMEOUT)
        index = SearchIndex.objects.get()
        edited = Product.objects.filter(pk=Product.objects.earliest("pk").pk)
        edited.update(also_called=id[-12:])  # each row has a word of its own
        refresh(edited.get().pk)
        found = urllib3.request("GET", f"{context.cluster.site}/products/", fields={"q": "feta"})
        assert b"/products/feta/" in found.data
        strike(context, hit, SIGKILL, "child")
        until(lambda: Job.objects.filter(id=id, state="succeeded").exists(), TIMEOUT, "the job's end")
        live = SearchIndex.objects.get().live
        assert live > index.live
        entries = SearchEntry.objects.filter(words__contains=id[-12:])
        until(entries.exists, TIMEOUT, "the edit in the index")
        assert set(SearchEntry.objects.values_list("generation", flat=True)) == {live}
        assert SearchEntry.objects.count() == Product.objects.count()

    return fault
