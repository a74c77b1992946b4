"""What the demo shows: each event of the story as it happens, and one line of figures.

On a terminal the line stands below and is kept up to date; elsewhere, as in a pipe, it comes again every few seconds.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deploy.local.demo_quality import AFTER, BEFORE, BETWEEN, Quality
from deploy.local.demo_story import Chapter, Story, stopped_by
from shared.contracts import control as c
from shared.contracts.envelope import Event, rfc3339
from shared.contracts.fitted_text import family_text

NEXT = (
    ("headrace up --definitions examples/card_fraud/definitions.yaml", "the same platform, to stay"),
    ("headrace status --watch", "what it does now"),
    ("headrace why card_fraud", "from the live version back to the data it was fitted on"),
    ("make demo-bad-candidate", "a worse candidate, stopped"),
    (
        "headrace replay --local examples/electricity/definitions.yaml FILE.csv --label-delay 48",
        "a real file, and three policies compared",
    ),
)

_LINE_EVERY_S = 5.0


class Screen:
    """Writes to `console`; nothing else does while it is open."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._line_s = time.monotonic()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, line: str) -> None:
        """A plain line."""
        self._console.print(Text(line, style="dim"))

    def tell(self, chapter: Chapter, quality: Quality) -> None:
        """An event of the story, if it is worth a line."""
        told = _told(chapter.event, quality)
        if told is None:
            return
        style, line = told
        head = f"{chapter.seconds:6.1f} s  {chapter.transactions:>6,} tx  "
        self._console.print(Text.assemble((head, "dim"), (line, style)), soft_wrap=True)

    def figures(self, transactions: int, rate: float, asked: dict[str, Any], doing: str) -> None:
        """The line of figures."""
        p50, p99 = asked.get("latency_p50_ms"), asked.get("latency_p99_ms")
        latency = "" if p50 is None or p99 is None else f", {p50:.1f} ms median, {p99:.1f} ms p99"
        text = (
            f"{transactions:,} transactions, {rate:.0f}/s | HTTP: {asked['asked']:,} predictions asked{latency}, "
            f"{asked['failed']} failed{' | ' + doing if doing else ''}"
        )
        if self._console.is_terminal:
            self._live.update(Text(text, style="cyan"))
        elif time.monotonic() - self._line_s >= _LINE_EVERY_S:
            self._line_s = time.monotonic()
            self._console.print(text, soft_wrap=True)

    def end(self, story: Story, quality: Quality, asked: dict[str, Any], seconds: float, lacks: list[str]) -> None:
        """The summary, what is missing, and what to try next."""
        self._console.print(_summary(story, quality, asked, seconds))
        for lack in lacks:
            self._console.print(Text(f"missing: {lack}", style="bold red"))
        if not lacks:
            self._console.print(Text("The story is whole. Next:", style="bold"))
            for command, why in NEXT:
                self._console.print(Text(f"  {command}\n      {why}"), soft_wrap=True)


def _told(event: Event, quality: Quality) -> tuple[str, str] | None:
    match event:
        case c.RunRequested(reason=reason, position=position):
            if reason is c.RunReason.BOOTSTRAP:
                return "yellow", f"enough labels for a first model: {position:,} outcomes decided"
            return "yellow", f"retraining asked for ({reason}): {position:,} outcomes decided"
        case c.RunFinished():
            gate = event.gate
            against = "a constant" if gate.against is None else f"version {gate.against}"
            return "yellow", (
                f"fitted {family_text(event.family, event.parameters)} on window {event.window!r} "
                f"in {event.duration_s:.1f} s: bounded loss "
                f"{gate.candidate_loss:.3f} against {gate.reference_loss:.3f} of {against}, {gate.rows} newest rows"
            )
        case c.RunFailed(reason=reason):
            return "red", f"the run failed: {reason}"
        case c.VersionRegistered(version=version, gate_passed=False, reason=reason):
            return "red", f"version {version} stopped at the gate: {reason}"
        case c.DriftDetected():
            return "bold red", _drift(event)
        case c.InputsMoved():
            return "yellow", f"inputs moved: {_moved(event)}; it advises, nothing follows"
        case c.RolloutAdvanced(phase=c.Phase.SHADOW, candidate=candidate):
            return "magenta", f"version {candidate} in shadow: it scores every record beside the champion, unheard"
        case c.RolloutAdvanced(candidate=candidate, step=step, share=share):
            return "magenta", f"canary step {step}: version {candidate} answers {share:.0%} of the cards"
        case c.VersionPromoted(version=version, by="first"):
            return "bold green", f"first model live: version {version}; the HTTP client begins to ask"
        case c.VersionPromoted(version=version, former=former):
            return "bold green", f"version {version} promoted; version {former} stays beside it, on watch"
        case c.RolloutEnded(phase=phase, candidate=candidate, reason=reason) if phase is not c.Phase.PROMOTED:
            return "bold green", f"version {candidate} {phase.replace('_', ' ')}: {reason}"
        case c.ModelRolledBack(version=version, reason=reason):
            return "red", f"back to version {version}: {reason}"
        case _:
            return None


def _drift(drift: c.DriftDetected) -> str:
    moved = "; ".join(
        f"{shift.feature} ({shift.direction}, {shift.reference} -> {shift.recent})" for shift in drift.shifts[:3]
    )
    most = f"; moved most: {moved}" if moved else ""
    if drift.monitor == "saving":
        return f"retraining pays: {drift.evidence:.1f} missed since outcome {drift.since:,}{most}"
    what = "bounded loss" if drift.monitor == "loss" else "loss beyond what these records let expect"
    return (
        f"drift: {what} {drift.mean_since:.3f} since outcome {drift.since:,}, "
        f"expected at most {drift.reference:.3f}{most}"
    )


def _moved(event: c.InputsMoved) -> str:
    return ", ".join(f"{one.feature} ({one.statistic})" for one in event.features if one.feature in event.told)


def _summary(story: Story, quality: Quality, asked: dict[str, Any], seconds: float) -> Table:
    table = Table(title=f"card_fraud after {seconds:.0f} s", title_justify="left", show_header=False)
    one_phase = not (quality.by_phase[BETWEEN].answers or quality.by_phase[AFTER].answers)
    names = {
        BEFORE: "all answers" if one_phase else "before the drift",
        BETWEEN: "drift to promotion",
        AFTER: "after the promotion",
    }
    for phase, figures in quality.by_phase.items():
        if figures.log_loss is not None and figures.accuracy is not None:
            said = f"log loss {figures.log_loss:.3f}, accuracy {figures.accuracy:.1%} ({figures.answers:,} answers)"
            table.add_row(names[phase], said)
    table.add_row("bounded loss above", "what decides: the log loss, clipped and scaled to lie between 0 and 1")
    drifts = story.all(c.DriftDetected)
    if drifts:
        table.add_row(
            "drift", f"{len(drifts)} alarm{'s' if len(drifts) > 1 else ''}, first at outcome {drifts[0].position:,}"
        )
    if stopped := stopped_by(story):
        table.add_row("stopped", stopped)
    versions = " then ".join(f"version {version}" for version, _ in asked["versions"][:6])
    table.add_row(
        "HTTP predictions", f"{asked['asked']:,} asked, {asked['failed']} failed; answered by {versions or 'none'}"
    )
    for failure in asked["failures"]:
        table.add_row("", failure)
    if story.first is not None and story.chapters:
        table.add_row("event time", f"up to {rfc3339(story.chapters[-1].time_ms)}")
    return table
