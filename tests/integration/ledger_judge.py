"""What each statement of the ledger may change, and what must hold after every step, whatever the steps were."""

from collections import Counter
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any, NamedTuple

from django.db.models.functions import Now

from backroom.ledger import rescue, sql
from backroom.ledger.errors import Superseded
from backroom.ledger.models import LIVE, Batch, Heartbeat, Job, State
from backroom.ops.blocked import blocked

# The arrows of the design (docs/core.md), by the statement that goes them. `enqueue` is insert and relink, `fail` is
# defer or mark_dead.
ARROWS = {
    "enqueue": "none>ready none>waiting",
    "enqueue_expiring": "none>ready none>waiting",
    "enqueue_unique": "none>ready none>waiting ready>waiting waiting>waiting",
    "claim": "ready>running",
    "succeed": "running>succeeded waiting>ready",
    "fail": "running>waiting running>dead running>cancelled",
    "stage_due": "waiting>ready",
    "requeue_ready": "ready>waiting",
    "reschedule": "waiting>waiting running>running",
    "cancel_key": "ready>cancelled waiting>cancelled",
    "cancel": "ready>cancelled waiting>cancelled dead>cancelled",
    "cancel_running": "ready>cancelled waiting>cancelled running>running",
    "save_cursor": "running>running",
    "replay": "dead>waiting cancelled>waiting",
    "rerun": "succeeded>waiting",
    "purge": "succeeded>none cancelled>none",
    "worker_beats": "running>waiting running>dead",
    "stop_heartbeat": "",
    "requeue_unfinished": "running>waiting running>cancelled",
    "requeue_abandoned": "running>waiting running>dead",
    "requeue_lost_messages": "ready>waiting",
    "defer_unknown": "ready>waiting ready>dead",
    "defer_unknown_claim": "running>waiting running>dead",
    "mark_terminated": "running>dead running>cancelled",
    "release_followers": "waiting>waiting",
    "mark_orphans_dead": "waiting>dead",
    "relink": "waiting>waiting",
    "purge_names": "",
    "open_lanes": "waiting>ready",
    "batch": "none>ready none>waiting",
    "grow": "none>ready",
    "cancel_batch": "ready>cancelled waiting>cancelled",
    "look": "waiting>waiting ready>cancelled waiting>cancelled none>waiting",
}
# Whether a job holds its name, by the rule of the name.
HOLDS: dict[str, Callable[[Job], bool]] = {
    "while waiting": lambda job: job.state in (State.READY, State.WAITING) and not job.claims,
    "while live": lambda job: job.state in LIVE,
}
# These also cancel jobs that did not begin in time, and what waits for them.
EXPIRING = {"claim", "open_lanes", "stage_due"}
# These also cancel a job that a person has cancelled while it ran, and what waits for it.
ENDS = {"fail", "requeue_unfinished", "mark_terminated"}
MOVES = {name: {tuple(arrow.split(">")) for arrow in arrows.split()} for name, arrows in ARROWS.items()}


class Outcome(NamedTuple):
    """What a statement, called with these arguments, returned; or the Superseded that it raised."""

    name: str
    arguments: tuple
    result: Any

    def moved(self, id: str) -> bool | None:
        """Whether the statement says that it changed this job; None if it says nothing."""
        if isinstance(self.result, Superseded):
            return False
        ids = [getattr(each, "id", each) for each in self.result] if isinstance(self.result, list) else []
        if self.name == "claim":
            return self.result is not None and self.result.id == id
        if self.name == "rerun":
            return self.result and self.arguments[0] == id
        if self.name in ("succeed", "fail", "defer_unknown_claim", "save_cursor"):
            return id in (self.arguments[0].id, *ids)
        return id in ids if isinstance(self.result, list) else None


class Judge:
    """Compares the ledger's rows before and after each step, and counts the effects of what succeeded."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.batches: dict[str, Batch] = {}
        self.alive: set[str] = set()  # the workers that have said so in time
        self.effects = Counter[str]()  # by job: what an atomic task would have written
        self.looked_at = datetime.now(UTC)
        self.late = set[str]()  # the ids of jobs that were too late to begin before this step
        self.named: dict[str, str] = {}  # by job: the rule of its unique name, of which each rule has one
        self.revived = set[str]()  # jobs that a person let run again, which asks no name
        self.reruns = set[str]()  # jobs whose effect got lost once
        self.cursors: dict[str, Any] = {}

    def look(self) -> None:
        """See the rows as they are now."""
        self.jobs = {str(job.id): job for job in Job.objects.order_by("id")}
        self.looked_at = datetime.now(UTC)
        self.batches = {str(batch.id): batch for batch in Batch.objects.all()}
        seen = Heartbeat.objects.filter(role="worker", seen_at__gt=Now() - timedelta(seconds=rescue.SILENCE))
        self.alive = set(seen.values_list("name", flat=True))

    def judge(self, *outcomes: Outcome) -> None:
        """Judge a step of one statement, or of two at once. Raises AssertionError."""
        before, alive, self.late = self.jobs, self.alive, expired(self.jobs, self.looked_at)
        self.look()
        may_expire = behind(expired(before, self.looked_at), before)
        for outcome in outcomes:
            self._each(outcome, before, alive & self.alive)
            if len(outcomes) == 1:
                self._alone(outcome, before)
        claimed = Counter(result.id for name, _, result in outcomes if name == "claim" and result)
        for id in before | self.jobs:
            was, now = before.get(id), self.jobs.get(id)
            states = was.state if was else "none", now.state if now else "none"
            possible = ends(id, states[0], outcomes)
            if id in may_expire and EXPIRING & {outcome.name for outcome in outcomes}:
                possible = {*possible, State.CANCELLED}
            assert states[1] in possible, f"{id}: {states} by {outcomes}"
            if now:
                self._job(id, was, now, claimed[id])
        self._lanes(before)
        self._names(outcomes)
        for id, batch in self.batches.items():
            self._batch(batch, before.get(id), before)

    def _lanes(self, before: dict[str, Job]) -> None:
        for job in self.jobs.values():
            if job.lane and job.state in (State.READY, State.RUNNING):
                assert job.place in range(1, job.places + 1), "a job of a lane runs without a place"
                began = before.get(str(job.id))
                if began and began.state == State.WAITING:
                    first = [other for id, other in before.items() if holds_back(other, job)]
                    # A person may replay an earlier one at this moment.
                    assert not any(holds_back(self.jobs[str(other.id)], job) for other in first), "it overtook"
        held = Counter((job.lane, job.place) for job in self.jobs.values() if job.state in (State.READY, State.RUNNING))
        assert all(count == 1 for (lane, _), count in held.items() if lane), "two jobs hold one place"

    def _batch(self, batch: Batch, was: Job | None, before: dict[str, Job]) -> None:
        """Its callback begins to be due only when all members have ended, each before this step or after it."""
        now, jobs = self.jobs[str(batch.id)], self.jobs.values()
        members = [job for job in jobs if job.batch_id == batch.id]
        if batch.ended_at is None:
            assert batch.total == len(members), "the batch does not know its members"
        if (was is None or was.run_at is None) and now.run_at is not None:
            for job in members:
                seen = [(job, jobs), (before[str(job.id)], before.values())] if str(job.id) in before else [(job, jobs)]
                assert any(has_ended(each, batch, those) for each, those in seen), "the callback overtook a member"

    def _each(self, outcome: Outcome, before: dict[str, Job], alive: set[str]) -> None:
        name, arguments, result = outcome
        if name in ("succeed", "fail", "defer_unknown_claim", "save_cursor") and not isinstance(result, Superseded):
            assert holds(arguments[0], before), "a claim that was lost changed a job"
            self.effects[arguments[0].id] += name == "succeed"
        if name in EXPIRING and result:
            began = [result] if name == "claim" else result
            assert not {claim.id for claim in began} & self.late, "a job began too late"
        if name == "save_cursor" and not isinstance(result, Superseded):
            self.cursors[arguments[0].id] = {"at": arguments[1]}
        if name == "enqueue_unique":
            self.named[result] = arguments[0][0]
        if name == "replay":
            self.revived.update(result)
        if name == "rerun" and result:
            self.revived.add(arguments[0])
            self.effects[arguments[0]] -= 1  # a rerun means that the effect got lost
            self.reruns.add(arguments[0])
            self.cursors.pop(arguments[0], None)
        if name in ("cancel", "cancel_running"):
            heads = {str(self.jobs[id].after_id) for id in result if id not in arguments[0]}
            running = {id for id, job in self.jobs.items() if job.state == State.RUNNING}
            assert not heads & running, "what waits for a running job was cancelled"
        if name == "requeue_abandoned":
            assert not {before[id].worker for id in result} & alive, "a worker that lives lost its job"

    def _names(self, outcomes: Collection[Outcome]) -> None:
        first, *others = outcomes
        for other in others:
            late = (
                first.name == "claim" and first.result and other == ("enqueue_unique", other.arguments, first.result.id)
            )
            assert not late or other.arguments[0][0] != "while waiting", "it was dropped for a job that had begun"
        for rule, holds in HOLDS.items():
            theirs = {id for id, named in self.named.items() if named == rule and id in self.jobs} - self.revived
            assert sum(holds(self.jobs[id]) for id in theirs) <= 1, f"two jobs hold a name {rule}"

    def _alone(self, outcome: Outcome, before: dict[str, Job]) -> None:
        name, arguments, result = outcome
        if isinstance(result, Superseded):
            assert not holds(arguments[0], before), "a claim that was held could not finish its job"
        elif name in ("succeed", "release_followers"):
            done = [arguments[0].id] if arguments else list(self.effects.elements())
            followers = [job for job in self.jobs.values() if str(job.after_id) in done]
            assert all(job.state != State.WAITING or job.run_at for job in followers), "a follower was not released"
        elif name == "enqueue":
            named = [id for id, job in before.items() if job.key and job.key == arguments[0][0]]
            assert named in ([], [result]), "a key has two jobs"
        elif name == "enqueue_unique" and result in before:
            (rule, duplicate), argument, _ = arguments
            assert HOLDS[rule](before[result]), "a newcomer was dropped for a job that does not hold its name"
            outlasts = argument == "x" or self.jobs[result].expires_at is None or before[result].claims
            assert duplicate == "refuse" or outlasts, "a newcomer was dropped for a job that expires before it"
            assert duplicate != "replace" or self.jobs[result].args == {"before": argument}, "it was not replaced"
        elif name == "claim" and result is None and arguments[0] in self.late:
            assert self.jobs[arguments[0]].state != State.READY, "a job that is too late was left to be claimed"
        elif name == "look":
            for batch in self.batches.values():
                members = [job for job in self.jobs.values() if job.batch_id == batch.id]
                over = all(has_ended(job, batch, self.jobs.values()) for job in members)
                assert batch.ended_at or not over, "a callback was not released"
        elif name == "worker_beats":
            assert all(before[id].worker == arguments[0] and id not in arguments[1] for id in result)
        elif name == "requeue_unfinished":
            mine = {id for id, job in before.items() if (job.state, job.worker) == (State.RUNNING, arguments[0])}
            assert set(result) == mine, "it kept a job, or gave back another's"
            waits = [id for id in result if not before[id].cancel_at]
            assert all(self.jobs[id].attempts == before[id].attempts - 1 for id in waits), "a deploy cost an attempt"
        elif name == "mark_terminated" and (was := before.get(arguments[0])):
            assert was.worker == arguments[1] or was.state == self.jobs[arguments[0]].state
        elif name == "stage_due":
            soon = [message.id for message in result if before[message.id].place != 0]
            assert all(before[id].run_at <= self.jobs[id].published_at for id in soon), "too early"

        if name in ENDS:
            ended = {id for id, job in before.items() if job.state == State.RUNNING != self.jobs[id].state}
            assert all((self.jobs[id].state == State.CANCELLED) == bool(before[id].cancel_at) for id in ended)
            behind = [job for id, job in self.jobs.items() if str(job.after_id) in ended and id not in ended]
            waits = [job for job in behind if job.state == State.WAITING and not job.run_at]
            assert all(self.jobs[str(job.after_id)].state != State.CANCELLED for job in waits), "a follower was left"

    def _job(self, id: str, was: Job | None, now: Job, claimed: int) -> None:
        assert now.claims == (was.claims if was else 0) + claimed, "the fencing token counts the claims"
        assert now.cursor == self.cursors.get(id), "the cursor is the last that the claim wrote which held the job"
        assert claimed <= (was is None or was.state != State.RUNNING), "two claims hold one job"
        assert self.effects[id] == (now.state == State.SUCCEEDED), "what succeeded has its effect once, no other has"
        to_come = now.state in (State.READY, State.WAITING)
        assert (now.state == State.RUNNING) <= now.attempts <= now.max_attempts - to_come, "too many attempts"
        if now.state == State.WAITING and not now.run_at:
            assert str(now.after_id) in self.jobs, "it waits for a job that is not there"
        if (
            now.after_id
            and now.after_id != now.id
            and (now.run_at or now.claims or now.state in (State.READY, State.RUNNING, State.SUCCEEDED))
        ):
            before = str(now.after_id)
            assert self.effects[before] == 1 or before in self.reruns, "a follower overtook"
            assert now.args == {"before": before}, "a follower has not the result before it"


def holds(claim: sql.Claimed, jobs: dict[str, Job]) -> bool:
    """Whether the job is this claim's."""
    return claim.id in jobs and (jobs[claim.id].state, jobs[claim.id].claims) == (State.RUNNING, claim.claims)


def expired(jobs: dict[str, Job], at: datetime) -> set[str]:
    """The ids of those that have not begun by their time."""
    return {
        id
        for id, job in jobs.items()
        if not job.claims and job.expires_at and job.expires_at <= at
        if job.state in (State.READY, State.WAITING)
    }


def behind(ids: set[str], jobs: dict[str, Job]) -> set[str]:
    """These ids, and those of the jobs that wait for them."""
    found = set[str]()
    while found != ids:
        found, ids = ids, ids | {id for id, job in jobs.items() if str(job.after_id) in ids and not job.run_at}
    return ids


def ends(id: str, state: str, outcomes: Collection[Outcome]) -> set[str]:
    """The states that a job may have come to, by these statements in any order: each a step that was made, was not
    made, or maybe was."""
    found = set()
    for order in permutations(outcomes):
        states = {state}
        for outcome in order:
            moved, reached = outcome.moved(id), {end for start, end in MOVES[outcome.name] if start in states}
            if outcome.name in ENDS and "waiting" in states:
                states = states | {"cancelled"}  # behind a job that was to be cancelled: see Judge._alone
            states = reached if moved else states if moved is False else states | reached
        found |= states
    return found


def holds_back(other: Job, job: Job) -> bool:
    """Whether, in a lane of strict order, this other job comes first: it has joined the lane and not ended."""
    if other.lane != job.lane or job.dead_blocks is None or other.id >= job.id or other.place is None:
        return False
    return other.state in LIVE or (other.state == State.DEAD and bool(other.dead_blocks))


def has_ended(member: Job, batch: Batch, jobs: Collection[Job]) -> bool:
    """Whether the callback need not wait for this member."""
    if batch.if_dead != "go on":
        return member.state == State.SUCCEEDED
    over = member.state in (State.SUCCEEDED, State.DEAD, State.CANCELLED)
    return over or (member.after_id != member.id and stuck(member, jobs, {}))


def stuck(job: Job, jobs: Collection[Job], batches: dict[str, Batch]) -> bool:
    """Whether only a person can bring it on: it waits for a job that gave up, or for one that is stuck itself; a
    batch's callback, for a member."""
    if batch := batches.get(str(job.id)):
        members = [each for each in jobs if each.batch_id == batch.id and not has_ended(each, batch, jobs)]
        return job.run_at is None and any(each.state not in LIVE or stuck(each, jobs, batches) for each in members)
    before = (other for other in jobs if job.after_id == other.id or holds_back(other, job))
    return blocked(job, jobs) or any(other.state == State.DEAD or stuck(other, jobs, batches) for other in before)
