"""Asks every service how far it is, all at once, over connections that are kept."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx


class ServiceProgress:
    """`GET /progress` of each service by name. May be asked by several threads."""

    def __init__(self, urls: Mapping[str, str], timeout_s: float = 2.0) -> None:
        self.urls = dict(urls)
        self._client = httpx.Client(timeout=timeout_s, trust_env=False)
        self._threads = ThreadPoolExecutor(max_workers=2 * max(1, len(urls)), thread_name_prefix="progress")

    def close(self) -> None:
        self._threads.shutdown()
        self._client.close()

    def ask(self) -> dict[str, dict[str, Any]]:
        """The answer of each service; `{"error": why}` where there is none."""
        answers = {name: self._threads.submit(self._ask, url) for name, url in self.urls.items()}
        return {name: answer.result() for name, answer in answers.items()}

    def _ask(self, url: str) -> dict[str, Any]:
        try:
            answer = self._client.get(f"{url}/progress")
            found = answer.json()
        except httpx.HTTPError as error:
            return {"error": f"nothing answers at {url}: {error}"}
        except ValueError:
            return {"error": f"{url}/progress answered with no JSON"}
        return found if isinstance(found, dict) else {"error": f"{url}/progress answered with no object"}
