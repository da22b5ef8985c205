"""From an upload to published files: each file of the corpus ends as it should, and a page shows all of a picture or
none of it, whatever runs twice, fails or is cancelled."""

import io
from datetime import timedelta

import pytest
from PIL import Image

from backroom.ledger.models import Job
from backroom.testing import advance, run_jobs
from catalog import tasks
from catalog.media import steps, storage
from catalog.media.models import Media
from catalog.media.refused import Refused
from catalog.media.steps import Made
from tests.integration import corpus
from tests.integration.buying import product

pytestmark = pytest.mark.django_db
State = Media.State
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    """A storage of the test's own."""
    own = settings.STORAGES["media"]
    own = own | {"OPTIONS": own["OPTIONS"] | {"location": tmp_path}}
    settings.STORAGES = settings.STORAGES | {"media": own}
    return tmp_path


def uploaded(name: str = "of a camera.jpg", content: bytes = corpus.JPEG, **fields: object) -> Media:
    """A picture as the upload leaves it, with its jobs."""
    media = Media(product=fields.pop("product", None) or product(), **fields)
    media.original = storage.save(media, storage.original(name), content)
    media.save()
    steps.begin(media)
    return media


def published(**fields: object) -> Media:
    media = uploaded(**fields)
    run_jobs()
    media.refresh_from_db()
    assert media.state == State.PUBLISHED
    return media


def made(media: Media) -> Media:
    """Run its tasks' bodies without the ledger."""
    for step in steps.STEPS[media.kind]:
        getattr(tasks, f"media_{step}")(media.pk)
    media.refresh_from_db()
    return media


def files(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_each_file_of_the_corpus_ends_as_it_should(folder):
    assert len(corpus.GOOD) + len(corpus.REFUSED) >= 60
    shop, wrong = product(), {}
    cases = {name: (content, None) for name, content in corpus.GOOD.items()} | corpus.REFUSED
    for name, (content, reason) in cases.items():
        media = made(uploaded(name, content, product=shop))
        if reason is None and media.state != State.PUBLISHED:
            wrong[name] = media.reason
        elif reason is not None and (media.state != State.REFUSED or reason not in media.reason):
            wrong[name] = f"{media.state}: {media.reason}"
    assert wrong == {}
    assert set().union(*map(storage.names_of, Media.objects.all())) <= files(folder)


def test_a_page_shows_all_of_a_picture_or_none_and_the_old_one_until_the_new_one_is_whole(folder):
    old = published()
    new = uploaded("wide.png", corpus.file(corpus.picture(size=(700, 500)), "PNG"), product=old.product, replaces=old)
    for _ in range(5):  # all steps but the last
        with pytest.raises(AssertionError):
            run_jobs(limit=1)
        new.refresh_from_db()
        assert (new.files, new.state) == ([], State.WAITING)
        assert Media.objects.filter(state=State.PUBLISHED).get() == old
    run_jobs()
    new = Media.objects.get()
    assert (new.state, new.width, new.height, len(new.placeholder) > 50) == ("published", 700, 500, True)
    shown = [(file["type"], file["width"], file["height"]) for file in new.files]
    sizes = [(320, 229), (640, 457), (700, 500)]
    assert shown == [(f"image/{kind}", *size) for kind in ("avif", "webp", "jpeg") for size in sizes]
    for file in new.files:
        image = Image.open(io.BytesIO(storage.read(file["name"])))
        assert (f"image/{image.format.lower()}", *image.size) == (file["type"], file["width"], file["height"])
    assert storage.names_of(old) <= files(folder)  # for pages that were loaded before
    advance(steps.STILL_SHOWN)
    run_jobs()
    assert files(folder) == storage.names_of(new)


def test_a_refused_file_is_a_sentence_for_staff_and_no_dead_letter(folder):
    media = uploaded("text.png", b"Dear customer")
    run_jobs()
    media.refresh_from_db()
    assert (media.state, media.reason) == (
        State.REFUSED, "This is no JPEG, PNG, WebP, AVIF or GIF picture. Export it as JPEG, and upload that."
    )  # fmt: skip
    assert set(Job.objects.values_list("state", flat=True)) == {"succeeded"}
    assert files(folder) == set()


def test_a_step_that_runs_twice_at_once_has_one_set_of_files(folder):
    media = uploaded()

    def fast(media: Media) -> Made:
        return Made([{"name": storage.save(media, "320.jpeg", b"first")}])

    def slow(media: Media) -> Made:
        """Another worker makes the step meanwhile."""
        late = storage.save(media, "320.jpeg", b"late")
        assert steps.run(media.pk, "jpeg", fast) == ""
        return Made([{"name": late}])

    assert steps.run(media.pk, "jpeg", slow) == "too late"
    media.refresh_from_db()
    assert files(folder) == storage.names_of(media)
    assert [storage.read(file["name"]) for file in media.made["jpeg"]["files"]] == [b"first"]
    assert steps.run(media.pk, "jpeg", slow) == "nothing to do"


def test_a_picture_without_one_of_its_steps_is_never_published():
    media = uploaded()
    with pytest.raises(Exception, match="not made yet: inspect, scan, avif, webp, jpeg"):
        tasks.media_publish(media.pk)


def test_a_cancelled_picture_leaves_no_job_and_no_file(folder):
    media = uploaded()
    with pytest.raises(AssertionError):
        run_jobs(limit=3)
    assert steps.cancel(media.pk)
    assert not steps.cancel(media.pk)
    run_jobs()
    assert files(folder) == set()
    assert set(Job.objects.filter(key__in=steps.keys(media)).values_list("state", flat=True)) == {
        "succeeded",
        "cancelled",
    }
    media.refresh_from_db()
    assert (media.state, media.original, media.made) == (State.CANCELLED, "", {})


def test_a_deleted_picture_leaves_no_file_even_if_a_step_is_under_way(folder):
    media = uploaded()

    def meanwhile(media: Media) -> Made:
        steps.remove(media.pk)
        return Made([{"name": storage.save(media, "320.jpeg", b"late")}])

    assert steps.run(media.pk, "jpeg", meanwhile) == "too late"
    run_jobs()
    assert (files(folder), Media.objects.count()) == (set(), 0)


def test_a_file_that_no_row_names_is_deleted_after_a_day_and_no_other_one(folder):
    media, other = published(), product("pears")
    orphan = storage.save(media, "640.avif", b"its worker died before it named the file")
    gone = storage.save(Media(product=other), "original.jpg", b"its upload was rolled back")
    (folder / "not ours").mkdir()
    (folder / "not ours" / "at all").touch()
    tasks.sweep_media.enqueue()
    run_jobs()
    assert {orphan, gone} < files(folder)  # a job may be about to name them
    assert storage.sweep(-DAY) == 2
    assert files(folder) == storage.names_of(media) | {"not ours/at all"}


def test_a_file_has_a_new_name_of_which_no_part_is_a_persons(folder):
    shop = product()
    name = storage.save(Media(product=shop), storage.original("../../etc/Pa\r\nss.wd.JPG"), b"1")
    assert storage.original("..%2f..\0.jp g") == "original.none"
    assert name.startswith(f"{shop.pk}/")
    assert name.endswith("-original.jpg")
    assert storage.save(Media(product=shop), "original.jpg", b"2") != name
    for wrong in "../up.jpg", "a/b.jpg", "x", "Ü.jpg", "":
        with pytest.raises(ValueError, match="no name of a file of ours"):
            storage.save(Media(product=shop), wrong, b"3")
    assert (folder / name).stat().st_mode & 0o077 == 0  # for the shop's own user only


def test_a_storage_that_does_not_work_costs_no_attempt(settings, folder):
    media = uploaded()
    (folder / media.original).rename(folder / "kept")
    (folder / media.original).parent.rmdir()
    (folder / media.original).parent.touch()  # no folder: "Not a directory" for each of its files
    run_jobs(raising=False)
    job = Job.objects.get(key=f"media-inspect:{media.pk}")
    assert (job.state, job.attempts) == ("waiting", 0)
    assert "the storage does not work: NotADirectoryError" in job.error
    (folder / media.original).parent.unlink()
    (folder / media.original).parent.mkdir()
    (folder / "kept").rename(folder / media.original)
    advance(timedelta(minutes=1))
    run_jobs()
    media.refresh_from_db()
    assert media.state == State.PUBLISHED


def test_an_error_of_ours_is_retried_and_then_a_dead_letter_and_its_picture_waits_for_a_person(folder):
    media = uploaded()
    (folder / media.original).unlink()
    for _ in range(steps.RETRY.attempts):
        run_jobs(raising=False)
        advance(timedelta(hours=1))
    job = Job.objects.get(key=f"media-inspect:{media.pk}")
    assert (job.state, job.attempts) == ("dead", steps.RETRY.attempts)
    assert "FileNotFoundError" in job.error
    media.refresh_from_db()
    assert media.state == State.WAITING


def test_a_refusal_in_any_step_ends_the_chain(folder):
    media = uploaded()

    def refuse(media: Media) -> Made:
        raise Refused("No.")

    assert steps.run(media.pk, "scan", refuse) == "refused: No."
    run_jobs()
    media.refresh_from_db()
    assert (media.state, media.reason, files(folder)) == (State.REFUSED, "No.", set())
