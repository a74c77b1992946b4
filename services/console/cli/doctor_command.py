"""`headrace doctor`: what is wrong with a platform, why it matters, and how to mend it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.common_options import DEFAULT_CONSOLE, AsJson, ConsoleUrl
from services.console.cli.failure import CommandFailed
from services.console.cli.output import print_json, print_text, say
from services.console.cli.running import running_from

if TYPE_CHECKING:
    from services.console.doctor.finding import Diagnosis
    from services.console.doctor.whereabouts import Whereabouts

NOTHING_WRONG, FOUND, BLIND = 0, 1, 2
ASKED_WITHIN_S = 3.0


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(doctor)


def doctor(
    data: Annotated[
        Path | None, typer.Option(envvar="HEADRACE_DATA", help="folder of run-time data; default: .headrace")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.0, help="between two looks: what stands still is stuck")] = 5.0,
    as_json: AsJson = False,
    console: ConsoleUrl = DEFAULT_CONSOLE,
) -> None:
    """What is wrong, why it matters, and how to mend it; works when half of the platform is down.

    Looks at the broker (HEADRACE_KAFKA_*), the services, the object store and the folder of data; changes nothing. A
    platform that `headrace up` started from the folder of data is found by itself. Ends with 0 if nothing is wrong, 1
    if something is, 2 if there was nothing to look at.
    """
    from services.console.doctor.diagnosis import diagnose
    from services.console.doctor.whereabouts import look

    found = diagnose(look(_whereabouts(console, data), seconds))
    if as_json:
        print_json(told(found))
    else:
        _print(found)
    raise typer.Exit(BLIND if found.blind else FOUND if found.findings else NOTHING_WRONG)


def told(found: Diagnosis) -> dict[str, Any]:
    """The diagnosis as JSON."""
    from dataclasses import asdict

    return {
        "findings": [asdict(finding) for finding in found.findings],
        "not_made": [asdict(one) for one in found.not_made],
        "made": [check.value for check in found.made],
        "nothing_to_look_at": found.blind,
    }


def _print(found: Diagnosis) -> None:
    for one in found.findings:
        happened = one.happened.rstrip(".")
        print_text(f"{one.check}: {one.subject}: {happened}. Why it matters: {one.matters}. Mend: {one.mend}")
    for one in found.not_made:
        print_text(f"not looked into: {one.check}: {one.reason}")
    count = len(found.findings)
    things = "nothing is" if not count else "1 thing is" if count == 1 else f"{count} things are"
    print_text(
        f"{things} wrong, as far as {len(found.made)} of {len(found.made) + len(found.not_made)} checks could see"
    )
    if found.blind:
        say(
            "there was nothing to look at: no broker, no service and no state. Start the platform with `headrace up`, "
            "or say where it is with --data, --console and HEADRACE_KAFKA_BOOTSTRAP"
        )


def _whereabouts(console: str, data: Path | None) -> Whereabouts:
    """From the note of a platform that runs from the folder, else from the environment, and from a console that
    answers."""
    from services.console.doctor.whereabouts import Whereabouts
    from services.console.settings import ConsoleSettings
    from shared.runtime.kafka_broker import KafkaBroker
    from shared.runtime.kafka_settings import KafkaSettings, kafka_settings
    from shared.runtime.settings import from_environment

    settings = from_environment(ConsoleSettings)
    folder = (data or settings.data).absolute()
    noted = running_from(folder)
    if noted is not None and console.rstrip("/") in (noted.console, DEFAULT_CONSOLE):
        kafka = KafkaSettings(bootstrap=noted.bootstrap, embedded=noted.embedded)
        state = Path(noted.data)
        store = settings.object_store or str(state / "objects")
        broker = KafkaBroker(kafka)
        return Whereabouts(broker, noted.bootstrap, noted.services, state, store, folder / "logs")
    kafka = kafka_settings()
    return Whereabouts(
        KafkaBroker(kafka), kafka.bootstrap, {**settings.service_urls, **_known_to(console), "console": console},
        folder, settings.object_store or str(folder / "objects"), folder / "logs",
    )  # fmt: skip


def _known_to(console: str) -> dict[str, str]:
    """The services as the console knows them, if it answers soon."""
    from services.console.cli.console_client import ConsoleClient

    client = ConsoleClient(console, timeout_s=ASKED_WITHIN_S)
    try:
        return client.get("/v1/services")
    except CommandFailed:
        return {}
    finally:
        client.close()
