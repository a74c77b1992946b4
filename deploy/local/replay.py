"""`headrace replay`: publishes a file as an event stream, and says what became of it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from rich.console import Console

from deploy.local.definitions_in_force import definitions_in_force, put_in_force
from deploy.local.options import ReplayOptions
from deploy.local.platform import LocalPlatform
from deploy.local.progress_client import ProgressClient
from deploy.local.replay_pace import parse_pace
from deploy.local.replay_progress import ReplayProgress
from deploy.local.replay_publisher import ReplayPublisher
from deploy.local.replay_report import discrepancies, report, show_table
from deploy.local.replay_rows import ReplayRefused, ReplayRows, read_rows
from deploy.local.replay_run import ReplayRun
from deploy.local.running_platform import noted_broker
from deploy.local.settle import Settling
from deploy.local.staying import stay
from services.console.cli.common_options import ask
from shared.contracts.definitions import Replay
from shared.contracts.topology import NO_DEFINITIONS, Definitions
from shared.runtime.definition_files import LoadedDefinitions, load
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_settings import KafkaSettings, kafka_settings

DOES_NOT_ADD_UP = 1
_DEFAULT_DATA = Path(".headrace")


@dataclass(frozen=True)
class Target:
    """The platform that a replay publishes into. `check` raises if it was stopped because something failed.

    `stay` returns when somebody stops it: at once for one that the replay did not start.
    """

    console: str
    kafka: KafkaSettings
    urls: Mapping[str, str]
    check: Callable[[], None]
    stay: Callable[[], None]


@dataclass(frozen=True)
class Prepared:
    """What is replayed: everything that could be refused has been looked at."""

    loaded: LoadedDefinitions
    replay: Replay
    definitions: Definitions
    rows: ReplayRows
    block: int


def run_replay(options: ReplayOptions) -> int:
    """Run the replay; 0 if every record is accounted for. Errors of the platform and of the input are raised."""
    pace = parse_pace(options.pace)
    terminal = Console(stderr=True)
    prepared = _prepare(options, NO_DEFINITIONS if options.local else definitions_in_force(options.console))
    with _target(options, terminal) as target:
        began_s = time.monotonic()
        put_in_force(target.console, prepared.loaded.published, by=f"replay {prepared.replay.name}")
        dead_before = ask(target.console, "/v1/counts")["dead"]
        with (
            ExitStack() as closing,
            ReplayProgress(target.console, len(prepared.rows.records), terminal) as progress,
        ):
            run = _run(prepared, target, progress, closing)
            run.run(pace, prepared.block)
        counts = ask(target.console, "/v1/counts")
        dead = {service: count - dead_before.get(service, 0) for service, count in counts["dead"].items()}
        status = _tell(options, prepared, {**counts, "dead": dead}, time.monotonic() - began_s, run, terminal)
        if options.stay:
            target.stay()
    return status


def _prepare(options: ReplayOptions, in_force: Definitions) -> Prepared:
    loaded = load(options.definitions, in_force)
    replay = _chosen(loaded, options)
    definitions = in_force.with_applied(loaded.published)
    rows = read_rows(replay, definitions, options.file, limit=options.limit, label_delay=options.label_delay)
    return Prepared(loaded, replay, definitions, rows, options.block or replay.block)


def _chosen(loaded: LoadedDefinitions, options: ReplayOptions) -> Replay:
    if len(loaded.replays) == 1:
        return loaded.replays[0]
    named = [replay for replay in loaded.replays if replay.name == options.file.stem]
    if len(named) == 1:
        return named[0]
    found = ", ".join(replay.name for replay in loaded.replays) or "none"
    raise ReplayRefused(
        f"{options.definitions} has {len(loaded.replays)} documents of kind Replay ({found}): one is needed, or one "
        f"named {options.file.stem} like the file"
    )


@contextmanager
def _target(options: ReplayOptions, terminal: Console) -> Generator[Target]:
    if not options.local:
        console = options.console.rstrip("/")
        urls = ask(console, "/v1/services")
        yield Target(console, _kafka(options, console), urls, lambda: None, lambda: None)
        return

    def say(line: str) -> None:
        terminal.print(line, highlight=False, markup=False, soft_wrap=True)

    with ExitStack() as stack:
        data = options.data or Path(stack.enter_context(TemporaryDirectory(prefix="headrace-replay-")))
        platform = stack.enter_context(
            LocalPlatform(data, broker=options.broker, any_ports=True, instances=options.instances, show=say)
        )
        yield Target(
            platform.console, platform.kafka, platform.urls, platform.raise_if_failed, lambda: stay(platform, say)
        )


def _kafka(options: ReplayOptions, console: str) -> KafkaSettings:
    if "HEADRACE_KAFKA_BOOTSTRAP" in os.environ:
        return kafka_settings()
    return noted_broker(options.data or _DEFAULT_DATA, console) or kafka_settings()


def _run(prepared: Prepared, target: Target, progress: ReplayProgress, closing: ExitStack) -> ReplayRun:
    client = closing.enter_context(ProgressClient(target.urls))
    publisher = ReplayPublisher(prepared.replay.name, KafkaBroker(target.kafka).writer())
    closing.callback(publisher.close)

    def waiting_for(reasons: Mapping[str, str]) -> None:
        target.check()
        progress.waiting_for(reasons)

    settling = Settling(list(target.urls), client.ask, waiting_for=waiting_for)
    return ReplayRun(
        prepared.rows, prepared.definitions, publisher, settle=settling.settle,
        control=lambda: _control(client), published=progress.published,
    )  # fmt: skip


def _control(client: ProgressClient) -> int:
    """How far the registry has read control.v1; 0 while it does not answer, which adopts nothing."""
    progress = client.ask(["registry"])["registry"]
    return 0 if progress is None else progress.control


def _tell(
    options: ReplayOptions,
    prepared: Prepared,
    counts: dict[str, Any],
    seconds: float,
    run: ReplayRun,
    terminal: Console,
) -> int:
    source = prepared.replay.source
    models = [model.name for model in prepared.definitions.models_on(source)]
    found = report(counts, source, models, seconds)
    if options.json:
        sys.stdout.write(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() + "\n")
        sys.stdout.flush()
    else:
        show_table(found, Console())
    spent = ", ".join(f"{what} {seconds:.1f} s" for what, seconds in run.spent.seconds.items())
    terminal.print(f"where the time went: {spent}", highlight=False, soft_wrap=True)
    wrong = discrepancies(found, counts["dead"])
    for line in wrong:
        terminal.print(f"does not add up: {line}", style="bold red", highlight=False, soft_wrap=True)
    return DOES_NOT_ADD_UP if wrong else 0
