"""The demo's story in the simulation: the same stage, stream and definitions, with all services in one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.demo_play import MODEL, Script, play
from deploy.local.demo_quality import Quality
from deploy.local.demo_stage import Stage
from deploy.local.demo_story import Story
from deploy.simulation.platform import SimulatedPlatform
from deploy.simulation.remembered_fits import RememberedFits
from shared.contracts.definitions import Model
from shared.contracts.envelope import Message
from shared.runtime.definition_files import load

DEFINITIONS = Path(__file__).parents[2] / "examples" / "card_fraud" / "definitions.yaml"
SETTLING_ROUNDS = 20_000


@dataclass(frozen=True)
class Played:
    """What came of a story. The platform can still be looked at."""

    story: Story
    quality: Quality
    transactions: int
    platform: SimulatedPlatform


def play_simulated(script: Script) -> Played:
    """Play a script to its end."""
    published = load(DEFINITIONS).published
    model = next(d for d in published if isinstance(d, Model) and d.name == MODEL)
    platform = SimulatedPlatform(script.seed, published, RememberedFits())
    story, quality = Story(MODEL), Quality(model.monitor.clip, script.drifted())
    sent = 0

    def count(transactions: int) -> None:
        nonlocal sent
        sent = transactions

    def on_control(position: int, message: Message) -> None:
        story.take(position, message, sent, 0.0)

    def settle(ends: Mapping[str, int], look: Callable[[], None]) -> None:
        platform.world.settle(SETTLING_ROUNDS)

    stage = Stage(platform.world.broker, settle, MODEL, on_control, quality.take)
    stage.settle()
    transactions = play(stage, script, story, count, model.label.matures_after)
    return Played(story, quality, transactions, platform)
