"""`headrace demo`: a whole platform, a stream with a planted drift, and the story of a model that heals itself.

With `--json` standard output holds one object and nothing else:
  story         drift, calm (no drift) or bad_candidate
  seed          of the stream
  whole         whether nothing is missing; missing: what is, in words
  seconds       from the first transaction to the end; setup_s: from the start to the first transaction
  transactions  published; per_second
  quality       before_drift, drift_to_promotion, after_promotion: answers, log_loss (nats), accuracy
  http          asked, failed, failures (the first five), versions ([version, answers] in order), latency_p50_ms,
                latency_p99_ms
  events        event, control (its place in control.v1), time_ms, transactions (published by then), seconds, data
The exit code is 0 if the story is whole and 1 if not.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from rich.console import Console

from deploy.local.demo_asking import Asking
from deploy.local.demo_pace import Pace
from deploy.local.demo_play import MODEL, Script, play
from deploy.local.demo_quality import Quality
from deploy.local.demo_screen import Screen
from deploy.local.demo_stage import Stage
from deploy.local.demo_story import PREDICTIONS_ASKED, Story, missing, missing_of_bad_candidate, missing_of_calm
from deploy.local.options import DemoOptions
from deploy.local.platform import ROOT, LocalPlatform
from deploy.local.progress_client import ProgressClient
from deploy.local.staying import stay
from shared.contracts import control as c
from shared.contracts.definitions import Model
from shared.contracts.envelope import Message
from shared.runtime.definition_files import load
from shared.runtime.kafka_broker import KafkaBroker

DEFINITIONS = ROOT / "examples" / "card_fraud" / "definitions.yaml"
ASKED_A_SECOND = 150.0
ASKS_ON_FOR_S = 180.0


def run_demo(options: DemoOptions) -> int:
    """Play the story; the exit code."""
    console = Console(stderr=options.json, highlight=False)
    with ExitStack() as ends:
        data = options.data or Path(ends.enter_context(TemporaryDirectory(prefix="headrace-demo-")))
        screen = Screen(console)
        began_s = time.monotonic()
        platform = LocalPlatform(
            data, port_base=options.port_base, any_ports=options.port_base is None, show=screen.say
        )
        demo = _Demo(options, platform, screen, began_s)
        with screen:
            ends.enter_context(platform)
            result = demo.run()
        if options.stay:
            _tell(demo, result)
            stay(platform, screen.say)
    if not options.stay:
        _tell(demo, result)
    return 0 if result["whole"] else 1


def _tell(demo: _Demo, result: dict[str, Any]) -> None:
    if demo.options.json:
        sys.stdout.buffer.write(orjson.dumps(result, option=orjson.OPT_INDENT_2) + b"\n")
        sys.stdout.flush()
    else:
        demo.show_end()


@dataclass
class _Demo:
    options: DemoOptions
    platform: LocalPlatform
    screen: Screen
    began_s: float
    story: Story = field(default_factory=lambda: Story(MODEL))
    transactions: int = 0
    doing: str = ""
    lacks: list[str] = field(default_factory=list[str])
    asked: dict[str, Any] = field(default_factory=dict[str, Any])
    seconds: float = 0.0

    def run(self) -> dict[str, Any]:
        """Play it, and what `--json` prints of it."""
        options = self.options
        script = Script.of(options.seed, drift=not options.no_drift, bad_candidate=options.bad_candidate)
        published = load(DEFINITIONS).published
        model = next(d for d in published if isinstance(d, Model) and d.name == MODEL)
        self.quality = Quality(model.monitor.clip, script.drifted())
        with ExitStack() as ends:
            progress = ends.enter_context(ProgressClient(self.platform.urls))
            url = f"{self.platform.urls['serving']}/v1/models/{MODEL}/predict"
            self.asking = ends.enter_context(Asking(url, options.seed, ASKED_A_SECOND))
            self.pace = Pace(self.platform.urls, progress)
            broker = KafkaBroker(self.platform.kafka)
            stage = Stage(broker, self.pace.settle, MODEL, self._on_control, self.quality.take)
            ends.callback(stage.close)
            stage.apply(published)
            self.screen.say("definitions of examples/card_fraud are in force; the stream begins")
            self.played_s = time.monotonic()
            play(stage, script, self.story, self._sent, model.label.matures_after)
            self.seconds = time.monotonic() - self.played_s
            self._ask_on()
        self.lacks = self._missing()
        return self._shown(script)

    def show_end(self) -> None:
        """The summary, once everything else has been said."""
        self.screen.end(self.story, self.quality, self.asked, self.seconds, self.lacks)

    def _on_control(self, position: int, message: Message) -> None:
        event = message.event
        if isinstance(event, c.RunProgressed):
            self.doing = f"fitting {event.fraction:.0%}: {event.doing}"
        elif isinstance(event, c.RunFinished | c.RunFailed):
            self.doing = ""
        chapter = self.story.take(position, message, self.transactions, self._elapsed_s())
        if chapter is not None:
            self.screen.tell(chapter, self.quality)
        if self.pace.asking is None and self.story.first is not None:
            self.pace.asking = self.asking
            self.asking.go()
        self._figures()

    def _sent(self, transactions: int) -> None:
        self.platform.raise_if_failed()
        self.transactions = transactions
        self._figures()

    def _figures(self) -> None:
        elapsed_s = self._elapsed_s()
        rate = self.transactions / elapsed_s if elapsed_s > 0 else 0.0
        self.screen.figures(self.transactions, rate, self.asking.count, self.doing)

    def _elapsed_s(self) -> float:
        return time.monotonic() - getattr(self, "played_s", time.monotonic())

    def _ask_on(self) -> None:
        """The client may need longer than the stream for its share."""
        until_s = time.monotonic() + ASKS_ON_FOR_S
        while self.pace.asking and self.asking.count["asked"] < PREDICTIONS_ASKED and time.monotonic() < until_s:
            time.sleep(0.1)
            self._figures()
        self.asked = self.asking.stop()

    def _missing(self) -> list[str]:
        options = self.options
        if options.bad_candidate:
            lacks = missing_of_bad_candidate(self.story)
        elif options.no_drift:
            lacks = missing_of_calm(self.story)
        else:
            lacks = missing(self.story, self.quality)
        asked, failed = self.asked["asked"], self.asked["failed"]
        if asked < PREDICTIONS_ASKED:
            lacks.append(f"{asked} predictions were asked for over HTTP, {PREDICTIONS_ASKED} are due")
        if failed:
            lacks.append(f"{failed} of {asked} HTTP predictions failed, the first with: {self.asked['failures'][0]}")
        return lacks + self._unseen_swaps()

    def _unseen_swaps(self) -> list[str]:
        """The client must have been answered by every version that went live."""
        live = {event.version for event in self.story.all(c.VersionPromoted)}
        answered = {version for version, _ in self.asked["versions"]}
        return [f"the HTTP client was never answered by version {version}" for version in sorted(live - answered)]

    def _shown(self, script: Script) -> dict[str, Any]:
        drift = "calm" if script.drift_at is None else "drift"
        return {
            "story": "bad_candidate" if self.options.bad_candidate else drift,
            "seed": self.options.seed,
            "whole": not self.lacks,
            "missing": self.lacks,
            "seconds": round(self.seconds, 1),
            "setup_s": round(self.played_s - self.began_s, 1),
            "transactions": self.transactions,
            "per_second": round(self.transactions / self.seconds, 1) if self.seconds else None,
            "quality": {phase: figures.shown() for phase, figures in self.quality.by_phase.items()},
            "http": self.asked,
            "events": self.story.shown(),
        }
