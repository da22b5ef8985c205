"""Work that is trouble itself: a job that kills, too many at once, and a schedule with nobody or two to keep it."""

import time

from backroom.ledger import operations
from backroom.ledger.models import LIVE, Job, State
from backroom.ops import rules, stats
from lab import tasks
from lab.checks import Judge, all_done
from lab.context import NotSeen, Scene
from lab.faults import slots
from lab.faults.stack import Machine
from lab.poison import Poison, empty_all

CAMPAIGN = 2000  # mails


def poison_job(scene: Scene) -> Judge:
    """A job that kills its worker's process, and orders beside it."""
    bottle = Poison(scene.name)
    bottle.fill()
    scene.enqueue(tasks.poison, [scene.name])
    scene.tell("A job is under way that kills the process that runs it, each time.")
    scene.buy_all(2)
    if scene.naive:
        return lambda: poison_without_ledger(scene, bottle)
    mine = Job.objects.filter(task="lab.poison", args__name=scene.name)
    return all_done(
        scene,
        "after two dead processes the job is a dead letter, and its neighbours went on. Without the poison it is"
        " replayed now",
        lambda: mine.filter(state=State.DEAD, attempts=2).exists(),
    )


def poison_without_ledger(scene: Scene, bottle: Poison) -> str:
    """It was acknowledged before it ran."""
    if not (bottle.tastes() and scene.tally().done) or tasks.poison.name in scene.held():
        return ""
    if bottle.tastes() > 1:
        raise NotSeen(f"it ran {bottle.tastes()} times")
    return "It ran once, its process died, and nobody knows of it any more."


def flood(scene: Scene) -> Judge:
    """2,000 mails of a campaign, and then one for which a person waits."""
    sent = scene.machine.asked("mail")
    scene.enqueue(tasks.mail_campaign, [f"{scene.name}-{number}" for number in range(CAMPAIGN)])
    scene.tell(f"{CAMPAIGN} mails of a campaign are enqueued.")
    scene.rest(1)
    begin = time.monotonic()
    scene.enqueue(tasks.mail_reset, [scene.name])
    scene.wait(lambda: scene.machine.effects(f"reset:{scene.name}"), "the mail that somebody waits for", 120)
    seconds, left = time.monotonic() - begin, CAMPAIGN - (scene.machine.asked("mail") - sent) + 1
    scene.tell(f"The password's mail arrived after {seconds:.1f} s, {left} mails of the campaign were still to come.")
    if seconds > 3 or left < CAMPAIGN / 4:
        raise NotSeen("the mail that somebody waits for had to wait for the campaign")
    return lambda: f"The password's mail took {seconds:.1f} s, before {left} mails of the campaign."


def stop_beat(scene: Scene) -> Judge:
    """No beat while a slot falls due."""
    scene.machine.stop(scene.machine.name("beat"))
    key = slots.add(1.0)
    scene.tell("Beat is stopped, and a report falls due in a second.")
    scene.rest(3)
    if scene.machine.effects(key):
        raise NotSeen("the report was mailed although no beat runs")
    if not scene.naive:
        scene.wait(is_missed, "Operations says that beat is gone")
        scene.tell("Operations says: no beat is at work.")
    scene.tell("The report is due, and was not mailed. Beat is started again.")
    scene.machine.start(scene.machine.name("beat"))
    return lambda: "The report came late, and once." if scene.machine.effects(key) == 1 else ""


def is_missed() -> bool:
    """Whether beat is, by the rules that Operations and the watcher go by."""
    return any(finding.rule.name == "beat-silent" and finding.wrong for finding in rules.findings(stats.snapshot(60)))


def two_beats(scene: Scene) -> Judge:
    """Two of them, and three slots."""
    scene.machine.start(f"{scene.machine.name('beat')}-2")
    due = time.monotonic() + 6  # both look for new slots every five seconds
    keys = [slots.add(6.0) for _ in range(3)]
    scene.tell("Two beats run, and three reports fall due in six seconds.")

    def judge() -> str:
        sent = [scene.machine.effects(key) for key in keys]
        patience = 10 if scene.naive and sum(sent) < 6 else 3  # a second mail would come beside the first one
        if time.monotonic() < due + patience or not all(sent):
            return ""
        if sent != (wanted := [2, 2, 2] if scene.naive else [1, 1, 1]):
            raise NotSeen(f"three reports were due, {sum(sent)} were mailed, not {sum(wanted)}")
        return (
            f"Three reports were due, {'and each was mailed once' if sum(sent) == 3 else f'{sum(sent)} were mailed'}."
        )

    return judge


def tidy(machine: Machine) -> None:
    """Take away what experiments leave in the back room: slots, poison, and the rest of a campaign with its messages,
    behind which all that comes later would wait."""
    slots.remove()
    empty_all()
    dead = Job.objects.filter(task=tasks.poison.name, state=State.DEAD)
    operations.replay([str(id) for id in dead.values_list("id", flat=True)])
    left = Job.objects.filter(task=tasks.mail_campaign.name, state__in=LIVE)
    operations.cancel(
        ids=[str(id) for id in left.values_list("id", flat=True)], dead=True, why="the lab's campaign is over"
    )
    machine.forget("bulk", tasks.mail_campaign.name)
