"""`headrace publish` and `headrace rejected`: records in, and those that did not fit."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from services.console.cli.common_options import DEFAULT_CONSOLE, AsJson, ConsoleUrl, Limit, ask, connected
from services.console.cli.failure import CommandFailed
from services.console.cli.output import print_json, print_text, say, show, table

if TYPE_CHECKING:
    from services.console.cli.console_client import ConsoleClient

LINES_A_REQUEST = 500
BYTES_A_REQUEST = 4 << 20
SHOWN_PROBLEMS = 10


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(publish)
    app.command()(rejected)


def publish(
    source: Annotated[str, typer.Argument(help="a source that is declared")],
    file: Annotated[str, typer.Argument(help="newline-delimited JSON, a record a line; - reads standard input")] = "-",
    ingestion: Annotated[
        str | None,
        typer.Option(envvar="HEADRACE_INGESTION_URL", help="URL of ingestion; default: the console is asked"),
    ] = None,
    as_json: AsJson = False,
    console: ConsoleUrl = DEFAULT_CONSOLE,
) -> None:
    """Publish records of a source over HTTP."""
    url = ingestion or ask(console, "/v1/services").get("ingestion")
    if not url:
        raise CommandFailed("the console knows no URL of ingestion: say it with --ingestion URL")
    with _opened(file) as lines, connected(console) as client:
        published = _send_all(client, f"{url.rstrip('/')}/v1/records/{source}", lines, quiet=as_json)
    if as_json:
        print_json({"source": source, "published": published})
    else:
        print_text(f"{published:,} records of {source} published")


def rejected(
    source: Annotated[str | None, typer.Argument(help="only this source")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
    console: ConsoleUrl = DEFAULT_CONSOLE,
) -> None:
    """The newest records that did not fit, and why."""
    found = ask(console, "/v1/rejected", source=source, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (r["time"], r["source"], f"{r['topic']}/{r['partition']}@{r['offset']}", r["reason"], r["detail"], r["length"])
        for r in found["rejected"]
    ]
    columns = ("time", "source", "stands at", "reason", "detail", "bytes")
    show(table("Rejected records, newest first", columns, rows, right=("bytes",)) if rows else "no record was rejected")


def _opened(file: str) -> Any:
    if file == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return open(file, "rb")  # noqa: PTH123 - the caller closes it, and "-" may be a path's name too
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}") from None


def _send_all(client: ConsoleClient, url: str, lines: BinaryIO, *, quiet: bool) -> int:
    """Send everything, part by part; how many records. Raises CommandFailed with the lines that do not fit."""
    from services.console.cli.console_client import Refused

    published = 0
    for first_line, part in parts(lines):
        try:
            answer = client.post_lines(url, part)
        except Refused as refused:
            raise CommandFailed(_refusal(refused, first_line, published)) from None
        before, published = published, published + len(answer["records"])
        if not quiet and published // 10_000 > before // 10_000:
            say(f"{published:,} records")
    return published


def parts(lines: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Parts of a file that a request can hold, each with the number of its first line, from 1; empty ones left out."""
    held: list[bytes] = []
    size, first, number = 0, 1, 0
    for number, line in enumerate(lines, 1):
        if held and (len(held) == LINES_A_REQUEST or size + len(line) > BYTES_A_REQUEST):
            yield first, b"".join(held)
            held, size, first = [], 0, number
        held.append(line)
        size += len(line)
    if b"".join(held).strip():
        yield first, b"".join(held)


def _refusal(refused: Any, first_line: int, published: int) -> str:
    problems = refused.answer.get("problems", []) if isinstance(refused.answer, dict) else []
    if not problems:
        sent = f"\n{published:,} records before it were published; an id that is sent again counts once"
        return f"{refused}{sent if published else ''}"
    said = [f"line {p['line'] + first_line - 1}: {p['reason']}: {p['detail']}" for p in problems[:SHOWN_PROBLEMS]]
    more = len(problems) - len(said)
    return "\n".join(
        [
            "some lines do not fit their source:",
            *said,
            *([f"and {more} more"] if more > 0 else []),
            f"{published:,} records before them were published: mend the lines and publish the whole file again, "
            "for an id that is sent again counts once",
        ]
    )
