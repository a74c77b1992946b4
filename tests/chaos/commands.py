"""What is asked of the console while processes die: what has to be refused, and once in a round the version before."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import httpx
import orjson

from tests.scenarios.workload import MODEL

ANSWER_WITHIN_S, AGAIN_AFTER_S, LOOK_EVERY_S = 3.0, 0.1, 1.0
MISSING_VERSION = 1_000_000
PERSON = "chaos"


class Command(threading.Thread):
    """Asked under one id until the console tells the refusal. `answered` is set then."""

    def __init__(self, request_id: str, console: str) -> None:
        super().__init__(name=f"command {request_id}", daemon=True)
        self.request_id, self._console = request_id, console
        self.answered = threading.Event()
        self.said = "nothing answers"

    def run(self) -> None:
        fields = {"command": "approve", "model": MODEL, "version": MISSING_VERSION, "by": PERSON}
        body = orjson.dumps({**fields, "request_id": self.request_id})
        with httpx.Client(timeout=ANSWER_WITHIN_S, trust_env=False) as client:
            while not self.answered.is_set():
                status, said = posted(client, f"{self._console}/v1/commands", body)
                self.said = f"{status} {said}"
                if status == 409:
                    self.answered.set()
                else:
                    time.sleep(AGAIN_AFTER_S)


class Person(threading.Thread):
    """Has the version before answer again, once: after one version has taken the place of another.

    What stops a rollout that begins at the same moment, or is refused, was not it: then another time, under another id.
    Until `over`; what is asked by then is asked until it is answered. `refused`: by request id.
    """

    def __init__(self, console: str) -> None:
        super().__init__(name="person", daemon=True)
        self._console = console
        self.over, self.given_up = threading.Event(), threading.Event()
        self.refused: dict[str, bool] = {}
        self.said = "nothing answers"

    def run(self) -> None:
        with httpx.Client(timeout=ANSWER_WITHIN_S, trust_env=False) as client:
            while not self.over.wait(LOOK_EVERY_S):
                if self._replaced(client) and self._returns(client):
                    return

    def _replaced(self, client: httpx.Client) -> bool:
        try:
            model = client.get(f"{self._console}/v1/models/{MODEL}").json()
        except (httpx.HTTPError, ValueError):
            return False
        return bool(model.get("promotions")) and model["rollout"] is None

    def _returns(self, client: httpx.Client) -> bool:
        request_id = f"{PERSON}-back-{len(self.refused)}"
        body = orjson.dumps({"command": "rollback", "model": MODEL, "by": PERSON, "request_id": request_id})
        while not self.given_up.is_set():
            status, said = posted(client, f"{self._console}/v1/commands", body)
            self.said = f"{status} {said}"
            if status in (200, 409):
                self.refused[request_id] = status == 409
                return status == 200 and said["decided"]["type"] == "ModelRolledBack"
            time.sleep(AGAIN_AFTER_S)
        return False


def posted(
    client: httpx.Client, url: str, body: bytes, headers: Mapping[str, str] | None = None
) -> tuple[int, Mapping[str, Any]]:
    """Status and answer; 0 and why where none came back whole."""
    try:
        answer = client.post(url, content=body, headers={"Content-Type": "application/json", **(headers or {})})
        return answer.status_code, orjson.loads(answer.content)
    except (httpx.HTTPError, orjson.JSONDecodeError) as error:
        return 0, {"error": f"{type(error).__name__}: {error}"}
