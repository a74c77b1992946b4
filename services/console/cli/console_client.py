"""Asks the console. Every refusal becomes CommandFailed with the console's own words."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from services.console.cli.common_options import DEFAULT_CONSOLE
from services.console.cli.failure import CommandFailed, ConsoleAway

NO_SUCH_PATH = {"detail": "Not Found"}  # FastAPI's own answer; a console that knows no such model says so


class ConsoleClient:
    """One console at one URL; a token is sent where one is set."""

    def __init__(self, url: str, token: str = "", timeout_s: float = 60.0) -> None:
        import httpx

        self.url, self._timeout_s = url.rstrip("/"), timeout_s
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(timeout=timeout_s, headers=headers, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        """The JSON at a path. Raises ConsoleAway or CommandFailed."""
        return self._ask("GET", path, params={name: value for name, value in query.items() if value is not None})

    def post(self, path: str, body: Any) -> Any:
        """The JSON that answers a change. Raises ConsoleAway or CommandFailed."""
        return self._ask("POST", path, json=body)

    def post_lines(self, url: str, lines: bytes) -> Any:
        """Newline-delimited JSON to another service's URL. Raises CommandFailed."""
        return self._ask("POST", url, content=lines, headers={"content-type": "application/x-ndjson"})

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        import httpx

        url = path if "://" in path else f"{self.url}{path}"
        try:
            answer = self._http.request(method, url, **more)
        except httpx.TimeoutException:
            raise CommandFailed(
                f"{url} has not answered within {self._timeout_s:g} s: see what the platform waits for with "
                f"`headrace status --console {self.url}`, or, if that does not answer either, whether this is the "
                "console's URL"
            ) from None
        except httpx.UnsupportedProtocol:
            raise CommandFailed(f"{self.url} is no URL: expected one such as {DEFAULT_CONSOLE}") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ConsoleAway(url.partition("/v1/")[0], str(error)) from None
        try:
            found = answer.json()
        except ValueError:
            raise CommandFailed(
                f"what answers at {url} is no Headrace service: it sent no JSON; see --console"
            ) from None
        if answer.is_success:
            return found
        if answer.status_code == HTTPStatus.NOT_FOUND and found == NO_SUCH_PATH:
            raise CommandFailed(
                f"what answers at {url} does not know that path: is it another service? Say where the console is with "
                "--console or HEADRACE_CONSOLE_URL"
            )
        raise Refused(answer.status_code, found)


class Refused(CommandFailed):
    """The service answered, and said no. `answer`: what it said, as JSON."""

    def __init__(self, status: int, answer: Any) -> None:
        self.status, self.answer = status, answer
        said = (answer.get("error") or answer.get("detail")) if isinstance(answer, dict) else answer
        super().__init__(_said(said) if said else f"refused with status {status}")


def _said(said: Any) -> str:
    """FastAPI's own refusals come as a list of problems."""
    if isinstance(said, list):
        return "\n".join(f"{'.'.join(map(str, p.get('loc', ())))}: {p.get('msg')}" for p in said)
    return str(said)
