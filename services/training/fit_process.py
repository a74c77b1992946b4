"""Fits in a process of its own, so that a slow fit never blocks polling and hashes are the same every time.

The child is `python -m services.training.fit_process`. Jobs are folders; lines of JSON go both ways: the path of a
folder in, progress and the end out. It ends when its standard input does.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from services.training.job import FAILURES, DecidedRow, FitFailed, FitJob, FitResult, Report, failure_reason
from shared.contracts.control import GateFigures
from shared.contracts.definitions import Model


class FitProcess:
    """A fitter that hands jobs to one child, started when it is first needed and again if it dies."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def __call__(self, job: FitJob, report: Report) -> FitResult:
        """Raises FitFailed, and OSError where a job cannot be written, such as on a full disk."""
        with self._lock, tempfile.TemporaryDirectory(prefix="headrace-fit-") as name:
            folder = Path(name)
            _write_job(folder, job)
            child = self._started()
            if child.stdin is None or child.stdout is None:
                raise FitFailed("the fit process has no pipes: the machine may be out of file handles")
            try:
                child.stdin.write(json.dumps(name) + "\n")
                child.stdin.flush()
                return self._answer(child, child.stdout, folder, report)
            except BrokenPipeError as broken:
                raise FitFailed(f"the fit process ended with code {child.wait()}; it is started anew") from broken

    def _started(self) -> subprocess.Popen[str]:
        if self._child is None or self._child.poll() is not None:
            # Equal bytes of an export need a fixed hash seed; figures need one thread.
            environment = {**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
            self._child = subprocess.Popen(
                [sys.executable, "-m", "services.training.fit_process"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
            )  # fmt: skip
        return self._child

    def _answer(self, child: subprocess.Popen[str], lines: Any, folder: Path, report: Report) -> FitResult:
        for line in lines:
            said = json.loads(line)
            if "fraction" in said:
                report(said["fraction"], said["doing"])
            elif "failed" in said:
                raise FitFailed(said["failed"])
            else:
                return _read_result(folder)
        raise FitFailed(f"the fit process ended with code {child.wait()} in the middle of a run; see its log")

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None


def _write_job(folder: Path, job: FitJob) -> None:
    fields = {
        "run_id": job.run_id,
        "model": json.loads(job.model.model_dump_json()),
        "input_spec": job.input_spec,
        "rows": [asdict(row) for row in job.rows],
        "since": job.since,
        "seed": job.seed,
        "champion": job.champion,
        "champion_artifact": base64.b64encode(job.champion_artifact or b"").decode(),
    }
    (folder / "job.json").write_text(json.dumps(fields))


def _read_job(folder: Path) -> FitJob:
    fields = json.loads((folder / "job.json").read_text())
    return FitJob(
        run_id=fields["run_id"],
        model=Model.model_validate(fields["model"]),
        input_spec=tuple((name, kind) for name, kind in fields["input_spec"]),
        rows=[DecidedRow(**row) for row in fields["rows"]],
        since=fields["since"],
        seed=fields["seed"],
        champion=fields["champion"],
        champion_artifact=base64.b64decode(fields["champion_artifact"]) or None,
    )


def _write_result(folder: Path, result: FitResult) -> None:
    fields = {name: getattr(result, name) for name in _PLAIN}
    fields["gate"] = result.gate.model_dump()
    (folder / "artifact").write_bytes(result.artifact)
    (folder / "result.json").write_text(json.dumps(fields))


_PLAIN: Sequence[str] = (
    "family", "parameters", "metrics", "fitted_from", "fitted_to", "judged_from", "window", "windows",
    "dataset_sha256", "duration_s", "parity_rows", "parity_largest", "manifest",
    "unusable_labels",
)  # fmt: skip


def _read_result(folder: Path) -> FitResult:
    fields = json.loads((folder / "result.json").read_text())
    return FitResult(
        artifact=(folder / "artifact").read_bytes(),
        gate=GateFigures.model_validate(fields["gate"]),
        **{name: fields[name] for name in _PLAIN},
    )


def main() -> int:
    """The child: one job after the other, until standard input ends."""
    jobs: list[str] = []
    came = threading.Condition()

    def read() -> None:
        for line in sys.stdin:
            with came:
                jobs.append(cast(str, json.loads(line)))
                came.notify()
        os._exit(0)  # the parent is gone, whatever the fit is doing

    threading.Thread(target=read, daemon=True).start()
    while True:
        with came:
            came.wait_for(lambda: bool(jobs))
            folder = Path(jobs.pop(0))
        _do(folder)


def _do(folder: Path) -> None:
    from services.training.fit_job import run_job  # only the child loads what fits

    def say(said: dict[str, Any]) -> None:
        print(json.dumps(said), flush=True)

    try:
        result = run_job(_read_job(folder), lambda fraction, doing: say({"fraction": fraction, "doing": doing}))
        _write_result(folder, result)
    except FAILURES as error:
        say({"failed": failure_reason(error)})
        return
    say({"done": True})


if __name__ == "__main__":
    sys.exit(main())
