"""Planted where versions are made and let answer: schedule, gate, rollout, watch; and where requests are let in."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

DECIDE, ROLLOUT, GATE = "services/registry/decide.py", "services/registry/rollout.py", "services/registry/gate.py"
COMMANDS, SCHEDULE = "services/registry/commands.py", "services/training/schedule.py"

MUTANTS = (
    Mutant(
        "the gate is skipped",
        "4, gate",
        "A candidate that does not beat what answers, or the constant predictor, goes no further.",
        (Edit(GATE, "    if figures.candidate_loss < figures.reference_loss:\n", "    if figures.rows:\n"),),
        falls=(2,),
        histories="control",
    ),
    Mutant(
        "the gate takes another champion's figures",
        "3, ids and effects",
        "A gate names the champion that it compared with; what is no longer current goes no further.",
        (
            Edit(GATE, "    if figures.against != champion:\n", "    if figures.rows < 0:\n"),
            Edit("services/registry/versions.py", "    elif version.against != line.champion:\n", "    elif False:\n"),
        ),
        falls=(2,),
        histories="control",
    ),
    Mutant(
        "stale figures promote",
        "4, rollout",
        "Missing, NaN or stale figures never promote.",
        (
            Edit(
                DECIDE,
                "    if verdict.kind is c.VerdictKind.BETTER and _is_stale(case, verdict, platform):\n        return\n",
                "",
            ),
        ),
        falls=(16,),
        histories="judge away",
    ),
    Mutant(
        "missing figures promote",
        "4, rollout",
        "No data is no success: missing, NaN or stale figures never promote.",
        (
            Edit(
                ROLLOUT,
                "        case c.VerdictKind.BETTER if verdict.step > rollout.step and has_figures(verdict, plan):\n",
                "        case c.VerdictKind.BETTER if verdict.step > rollout.step:\n",
            ),
        ),
        falls=(16,),
        histories="control",
    ),
    Mutant(
        "a verdict on another rollout counts",
        "3, ids and effects",
        "A verdict names its rollout and both artifacts; what is no longer current is ignored.",
        (
            Edit(
                DECIDE, "        rollout.rollout_id, rollout.champion,", "        verdict.rollout_id, rollout.champion,"
            ),
        ),
        falls=(16,),
        histories="control",
    ),
    Mutant(
        "a rollout outlives its deadline",
        "8, invariant 17",
        "Every rollout ends by its deadline, in ticks.",
        (
            Edit(
                ROLLOUT,
                "        case DeadlinePassed(now_ms=now_ms) if now_ms >= rollout.deadline_ms:\n",
                "        case DeadlinePassed(now_ms=now_ms) if now_ms >= rollout.deadline_ms + 1:\n",
            ),
        ),
        falls=(17,),
        histories="control",
    ),
    Mutant(
        "a rollout goes on beside another champion",
        "8, invariant 1",
        "At most one champion: a version that a person lets answer ends the rollout in progress.",
        (
            Edit(
                COMMANDS,
                '    stop_rollout(case, f"{command.by} lets version {command.version} answer")\n',
                "",
            ),
        ),
        falls=(1, 2),
        histories="control",
    ),
    Mutant(
        "what was rolled back returns unasked",
        "8, invariant 18",
        "A rolled-back version returns only by a new approval.",
        (
            Edit(
                COMMANDS,
                "        case.say(c.VersionApproved(model=case.model, version=number, by=command.by))\n"
                "        goes_live(",
                "        goes_live(",
            ),
        ),
        falls=(18,),
        histories="control",
    ),
    Mutant(
        "one run makes two versions",
        "8, invariant 13",
        "The first result of a run counts; one run makes at most one version.",
        (
            Edit(
                DECIDE,
                "    if all(version.run_id != run.run_id for version in case.line.versions.values()):\n",
                "    if run.run_id:\n",
            ),
            Edit(DECIDE, "    if platform.model(case.model).last_run != run:\n        return\n", ""),
        ),
        falls=(13,),
        histories="control",
    ),
    Mutant(
        "a drift event leads to two runs",
        "8, invariant 11",
        "A drift event leads to at most one run.",
        (
            Edit(
                SCHEDULE,
                "        case.change(alarm=None, answered=(*plan.answered, found.drift.drift_id)[-REMEMBERED:])\n",
                "        case.change(alarm=None)\n",
            ),
        ),
        falls=(11,),
        histories="control",
        fast=1,
    ),
    Mutant(
        "two runs of a model at a time",
        "8, invariant 12",
        "At most one active run a model; what comes meanwhile is kept, and decided when that ends.",
        (
            Edit(
                SCHEDULE,
                "    return case.plan.active is not None or state.run is not None or state.rollout is not None or "
                "bool(state.pending)\n",
                "    return state.rollout is not None or bool(state.pending)\n",
            ),
        ),
        falls=(12,),
        histories="control",
    ),
    Mutant(
        "a version answers before all replicas have it",
        "3, a prediction",
        "A version takes traffic when every replica heard from lately has reported it ready.",
        (
            Edit(
                "services/registry/replicas.py",
                "set(self.heard) <= set(ready)",
                "bool(set(self.heard) & set(ready))",
            ),
        ),
        tests=("tests/unit/registry/test_versions.py::test_a_version_waits_for_every_replica_that_was_heard_lately",),
    ),
    Mutant(
        "definitions validated against an older state come into force",
        "1, definitions",
        "The registry puts in force what was validated against the newest state, and refuses the other of two at once.",
        (
            Edit(
                "services/registry/apply.py",
                "command.based_on < platform.definitions_at:",
                "command.based_on < 0:",
            ),
        ),
        tests=("tests/unit/registry/test_apply.py::test_what_was_validated_against_an_older_state_is_refused",),
    ),
)
