"""Shows on standard error how a replay gets on: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.console.cli.common_options import ask
from services.console.cli.failure import CommandFailed

_ASK_EVERY_S = 3.0
_LINE_EVERY_S = 10.0


class ReplayProgress:
    """A bar with rate, lag, quality and what is happening. The last three a thread asks of the console."""

    def __init__(self, console_url: str, rows: int, terminal: Console) -> None:
        self._url, self._rows, self._terminal = console_url, rows, terminal
        self._bar = Progress(
            TextColumn("replay"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[said]}"),
            console=terminal,
            disable=not terminal.is_terminal,
        )
        self._task = self._bar.add_task("replay", total=rows, rate="", said="")
        self._began_s = self._line_s = time.monotonic()
        self._done = 0
        self._said = ""
        self._waits = ""
        self._stop = threading.Event()
        self._asking = threading.Thread(target=self._ask, name="replay progress", daemon=True)

    def published(self, rows: int) -> None:
        """So many rows of the file have been published."""
        self._done = rows
        self._show()

    def waiting_for(self, reasons: Mapping[str, str]) -> None:
        """Why the platform has not settled, by service."""
        service, reason = next(iter(reasons.items()))
        self._waits = f"{service}: {reason}"
        if not self._bar.disable or time.monotonic() - self._line_s > _LINE_EVERY_S:
            self._show()

    def __enter__(self) -> Self:
        self._bar.start()
        self._asking.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._asking.join()
        self._bar.stop()

    def _show(self) -> None:
        now_s = time.monotonic()
        rate = f"{self._done / max(now_s - self._began_s, 0.001):,.0f}/s"
        said = self._said or self._waits
        self._bar.update(self._task, completed=self._done, rate=rate, said=said)
        if self._bar.disable and now_s - self._line_s > _LINE_EVERY_S:
            self._line_s = now_s
            self._terminal.print(
                f"replay {self._done:,} of {self._rows:,} ({rate}); {self._said}; waiting for {self._waits}",
                highlight=False, soft_wrap=True,
            )  # fmt: skip

    def _ask(self) -> None:
        while not self._stop.wait(_ASK_EVERY_S):
            try:
                self._said = happening(ask(self._url, "/v1/status"))
            except CommandFailed as error:
                self._said = str(error)


def happening(status: Mapping[str, Any]) -> str:
    """Lag, and of each model its quality and what is going on, in one line; `status`: the console's `/v1/status`."""
    lag = sum(service.get("lag", 0) for service in status["services"].values())
    return " | ".join([f"lag {lag}", *(_model(name, model) for name, model in status["models"].items())])


def _model(name: str, model: Mapping[str, Any]) -> str:
    counts, run, rollout = model["counts"], model["run"], model["rollout"]
    if run is not None:
        doing = f"run: {run['doing']} {run['fraction']:.0%}"
    elif rollout is not None:
        doing = f"v{rollout['candidate']} in {rollout['phase']} at {rollout['share']:.0%}"
    elif model["champion"] is None:
        doing = f"no version yet, {model['labelled']} of {model['minimum_rows']} labelled rows"
    else:
        doing = f"v{model['champion']}"
    quality = "" if counts["quality"] is None else f"{counts['metric']} {counts['quality']:.3f}, "
    return f"{name}: {quality}{doing}"
