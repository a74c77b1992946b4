"""What the demo shows: a line for each event of the story, figures below, and a summary."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from deploy.local import demo_screen
from deploy.local.demo_quality import AFTER, BEFORE, BETWEEN, Figures, Quality
from deploy.local.demo_screen import NEXT, Screen
from deploy.local.demo_story import Chapter, Story
from shared.contracts import control as c
from shared.contracts.envelope import Event
from tests import builders as b

ASKED = {
    "asked": 5_432, "failed": 0, "failures": [], "versions": [[1, 3_000], [2, 2_432]], "latency_p50_ms": 4.26,
    "latency_p99_ms": 31.0,
}  # fmt: skip
MEMBERS = [{"family": "ridge", "window": "all", "parameters": {"alpha": 1.0}, "loss": 0.1}] * 2
SHIFT = {"feature": "amount", "score": 9.0, "statistic": "u", "direction": "lower", "reference": "80", "recent": "12"}


def quality() -> Quality:
    phases = {BEFORE: Figures(1_000, 200.0, 900), BETWEEN: Figures(500, 400.0, 300), AFTER: Figures(800, 240.0, 720)}
    return Quality(0.01, by_phase=phases)


def told(event: Event) -> str:
    """The line of one event; empty if it is worth none."""
    file = io.StringIO()
    chapter = Chapter(control=12, time_ms=b.T0_MS, transactions=2_345, seconds=31.25, event=event)
    Screen(Console(file=file, width=60)).tell(chapter, quality())
    return file.getvalue()


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (b.run_requested(), "enough labels for a first model: 2,000 outcomes decided"),
        (b.run_requested(reason=c.RunReason.DRIFT), "retraining asked for (drift): 2,000 outcomes decided"),
        (
            b.run_finished(),
            "fitted linear on window 'all' in 1.5 s: bounded loss 0.100 against 0.200 of a constant, 500 newest rows",
        ),
        (
            b.run_finished(gate=b.gate(against=1)),
            "fitted linear on window 'all' in 1.5 s: bounded loss 0.100 against 0.200 of version 1, 500 newest rows",
        ),
        (
            b.run_finished(family="average", parameters={"members": MEMBERS}, window="all + newest 600"),
            "fitted average of 2 on window 'all + newest 600' in 1.5 s: "
            "bounded loss 0.100 against 0.200 of a constant, 500 newest rows",
        ),
        (b.run_failed(), "the run failed: one class only"),
        (b.registered(2, gate_passed=False, reason="worse"), "version 2 stopped at the gate: worse"),
        (
            b.drift(shifts=(SHIFT,)),
            "drift: bounded loss 0.300 since outcome 2,800, expected at most 0.100; "
            "moved most: amount (lower, 80 -> 12)",
        ),
        (
            b.drift(monitor="residual"),
            "drift: loss beyond what these records let expect 0.300 since outcome 2,800, expected at most 0.100",
        ),
        (
            b.drift(monitor="saving", evidence=10.02, shifts=(SHIFT,)),
            "retraining pays: 10.0 missed since outcome 2,800; moved most: amount (lower, 80 -> 12)",
        ),
        (b.inputs_moved(), "inputs moved: amount (higher); it advises, nothing follows"),
        (b.rollout_advanced(), "version 2 in shadow: it scores every record beside the champion, unheard"),
        (
            b.rollout_advanced(phase=c.Phase.STEP, step=1, share=0.25),
            "canary step 1: version 2 answers 25% of the cards",
        ),
        (b.promoted(1), "first model live: version 1; the HTTP client begins to ask"),
        (b.promoted(2, former=1), "version 2 promoted; version 1 stays beside it, on watch"),
        (b.rollout_ended(phase=c.Phase.ROLLED_BACK, reason="worse"), "version 2 rolled back: worse"),
        (b.rolled_back(), "back to version 1: alarm on watch"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_an_event_is_one_line_with_when_and_after_how_many(event: Event, line: str) -> None:
    assert told(event) == f"  31.2 s   2,345 tx  {line}\n"


@pytest.mark.parametrize("event", [b.registered(), b.approved(), b.rollout_started(), b.rollout_ended()])
def test_what_another_line_says_already_is_left_out(event: Event) -> None:
    assert told(event) == ""


def test_the_figures_stand_below_while_it_runs() -> None:
    file = io.StringIO()
    with Screen(Console(file=file, width=200, force_terminal=True)) as screen:
        screen.say("definitions are in force")
        screen.figures(2_345, 61.7, ASKED, "fitting 40%: search")
    assert "definitions are in force" in file.getvalue()
    assert (
        "2,345 transactions, 62/s | HTTP: 5,432 predictions asked, 4.3 ms median, 31.0 ms p99, 0 failed"
        " | fitting 40%: search"
    ) in file.getvalue()


def test_before_the_first_answer_there_is_no_latency() -> None:
    file = io.StringIO()
    with Screen(Console(file=file, width=200, force_terminal=True)) as screen:
        screen.figures(10, 5.0, {"asked": 0, "failed": 0}, "")
    assert "10 transactions, 5/s | HTTP: 0 predictions asked, 0 failed" in file.getvalue()
    assert "median" not in file.getvalue()


def test_the_figures_come_again_every_five_seconds_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    file, now_s = io.StringIO(), 100.0
    monkeypatch.setattr(demo_screen.time, "monotonic", lambda: now_s)
    with Screen(Console(file=file, width=40)) as screen:
        for now_s in (104.9, 105.0, 109.9, 110.0):
            screen.figures(int(now_s * 10), 5.0, {"asked": 0, "failed": 0}, "")
    figures = "transactions, 5/s | HTTP: 0 predictions asked, 0 failed"
    assert file.getvalue() == f"1,050 {figures}\n1,100 {figures}\n"


def ended(story: Story, lacks: list[str], figures: Quality | None = None) -> str:
    file = io.StringIO()
    Screen(Console(file=file, width=160)).end(story, figures or quality(), ASKED, 88.4, lacks)
    return file.getvalue()


def a_story(*events: Event) -> Story:
    story = Story(b.MODEL)
    for position, event in enumerate(events):
        story.take(position, b.message(event), 100, 1.0)
    return story


def test_the_summary_says_how_good_it_was_in_each_part_and_what_to_try_next() -> None:
    said = ended(a_story(b.promoted(1), b.drift(), b.promoted(2, former=1)), [])
    for text in (
        "card_fraud after 88 s",
        "log loss 0.200, accuracy 90.0% (1,000 answers)",
        "log loss 0.800, accuracy 60.0% (500 answers)",
        "log loss 0.300, accuracy 90.0% (800 answers)",
        "1 alarm, first at outcome 3,000",
        "5,432 asked, 0 failed; answered by version 1 then version 2",
        "The story is whole. Next:",
        *(command for command, _ in NEXT),
    ):
        assert text in said
    assert "missing" not in said


def test_without_drift_and_promotion_the_answers_are_one_row() -> None:
    calm = Quality(0.01)
    calm.by_phase[BEFORE] = Figures(1_000, 200.0, 900)
    said = ended(a_story(b.promoted(1)), [], calm)
    assert "all answers" in said
    assert "before the drift" not in said


def test_the_summary_says_what_stopped_a_candidate() -> None:
    said = ended(a_story(b.promoted(1), b.registered(2, gate_passed=False, reason="worse than version 1")), [])
    assert "gate: worse than version 1" in said


def test_what_is_missing_takes_the_place_of_what_to_try() -> None:
    said = ended(a_story(b.promoted(1)), ["no drift was detected", "no candidate came into shadow"])
    assert "missing: no drift was detected\nmissing: no candidate came into shadow\n" in said
    assert "Next" not in said
