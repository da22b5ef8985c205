"""The corpus of pictures through the ledger and a real worker: no file of it costs the worker a child."""

import pytest
from django.db.models import Q

from backroom.ledger.models import LIVE, Job
from catalog.media import steps, storage
from catalog.media.models import Media
from catalog.models import Product
from tests.cluster import Cluster
from tests.integration import corpus
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db, pytest.mark.slow]


def test_each_file_of_the_corpus_is_published_or_refused_and_the_worker_loses_no_child(house: Cluster):
    product, cases = Product.objects.first(), corpus.GOOD | {name: file for name, (file, _) in corpus.REFUSED.items()}
    media = {}
    for name, content in cases.items():
        row = Media(product=product)
        row.original = storage.save(row, storage.original(name), content)
        row.save()
        steps.begin(row)
        media[name] = row.pk
    house.start("worker-media")
    jobs = Job.objects.filter(task__startswith="catalog.media_")
    until(lambda: not jobs.filter(state__in=LIVE).exists(), 240, "all pictures")
    assert not jobs.filter(~Q(state="succeeded") | ~Q(attempts=1)).exists()
    states = {name: Media.objects.get(pk=pk).state for name, pk in media.items()}
    assert states == dict.fromkeys(corpus.GOOD, "published") | dict.fromkeys(corpus.REFUSED, "refused")
