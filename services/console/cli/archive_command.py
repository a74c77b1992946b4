"""`headrace archive`: the accepted records of a source out of the archive, as `headrace publish` takes them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from services.console.cli.common_options import AsJson
from services.console.cli.failure import CommandFailed
from services.console.cli.output import print_json, say
from services.console.cli.running import running_from


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(archive)


def archive(
    source: Annotated[str, typer.Argument(help="a source; one whose topic has another name: that topic")],
    data: Annotated[
        Path | None, typer.Option(envvar="HEADRACE_DATA", help="folder of run-time data; default: .headrace")
    ] = None,
    log_id: Annotated[str | None, typer.Option("--log", help="of which log; default: that of the folder")] = None,
    as_json: AsJson = False,
) -> None:
    """The archived records of a source, newline-delimited JSON in the order of their times, to publish them again.

    Reads the object store (HEADRACE_OBJECT_STORE, else objects in the folder of data). The newest records lie in the
    files of ingestion in the folder, or in the copies of these files in the store. Nothing has to run.
    """
    from services.console.archived_records import archived_records, log_of
    from services.console.unarchived_rows import unarchived_rows
    from shared.runtime.artifacts import ArtifactStore
    from shared.runtime.settings import ServiceSettings, from_environment

    settings = from_environment(ServiceSettings)
    folder = (data or settings.data).absolute()
    running = running_from(folder)
    folder = folder if running is None else Path(running.data)
    url = settings.object_store or str(folder / "objects")
    if "://" not in url and not Path(url).is_dir() and not (folder / "state").is_dir():
        raise CommandFailed(f"there is no folder {url}: name the folder of data with --data, or HEADRACE_OBJECT_STORE")
    store = ArtifactStore.at(url)
    found = log_id or log_of(folder, store, url)
    newest = unarchived_rows(store, found, folder, source)
    records = list(archived_records(store, found, source, newest.rows))
    for warning in newest.warnings:
        say(f"warning: {warning}")
    if as_json:
        print_json({"log": found, "source": source, "records": [json.loads(record) for record in records]})
        return
    for record in records:
        sys.stdout.write(f"{record}\n")
    say(f"{len(records):,} records of {source} from the archive of log {found}")
