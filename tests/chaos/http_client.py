"""The client of a struck platform that speaks HTTP: records, questions and commands, and every answer it was given.

Services die, freeze and refuse meanwhile. A record is sent under its id until it is acknowledged. A question is put
once under its id, for each answer is a fact of its own; so is a question whose answer was lost, if it came that far.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from tests.chaos.commands import AGAIN_AFTER_S, ANSWER_WITHIN_S, Command, Person, posted
from tests.scenarios.workload import MATURES_MS, MODEL, PAYMENTS, TRUTHS, Record

SEND_EVERY_S, ASK_EVERY_S = 0.3, 0.1
ACKNOWLEDGED_WITHIN_S, VERSION_WITHIN_S = 90.0, 90.0
REFUSED = (0, 404, 503, 507)  # it is away, not as far yet, or short of memory: another time it may be taken
OURS = "h"  # with it begin the ids of its records; none of the stream's do


class Unacknowledged(AssertionError):
    """Something was asked for so long, of processes that live, and is not taken."""


@dataclass(slots=True)
class Told:
    """What was sent and what was answered. `attempts` by record; `answers` by request, None where none came back."""

    records: dict[str, tuple[str, Record]] = field(default_factory=dict[str, tuple[str, Record]])
    attempts: dict[str, int] = field(default_factory=dict[str, int])
    acknowledged: set[str] = field(default_factory=set[str])
    answers: dict[str, Mapping[str, Any] | None] = field(default_factory=dict[str, "Mapping[str, Any] | None"])
    commands: set[str] = field(default_factory=set[str])  # by request id, each refused as it has to be
    returns: dict[str, bool] = field(default_factory=dict[str, bool])  # what the person asked: whether it was refused
    ends: dict[str, int] = field(default_factory=dict[str, int])  # of the topics, as acknowledgements name them
    tried_again: int = 0

    @property
    def answered(self) -> int:
        """Questions that got a prediction."""
        return sum(answer is not None for answer in self.answers.values())


class HttpClient:
    """Publishes and asks until it is told to stop. `now`: event time, and whether good is bad then; None at first."""

    def __init__(self, seed: int, urls: Mapping[str, str], now: Callable[[], tuple[int, bool] | None]) -> None:
        self._draw, self._now, self._urls = random.Random(f"http client {seed}"), now, urls
        self._ask_draw = random.Random(f"http questions {seed}")
        self._over, self._given_up = threading.Event(), threading.Event()
        self._held: list[tuple[int, Record]] = []  # truths, by when they are known
        self._waiting: list[Record] = []  # payments that were asked about before they are sent
        self._lock = threading.Lock()
        self._commands: list[Command] = []
        self._person = Person(urls["console"])
        self.told = Told()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="http client")
        self._turns: list[Future[None]] = []

    def start(self) -> None:
        for turn, every_s in ((self._send, SEND_EVERY_S), (self._question, ASK_EVERY_S)):
            self._turns.append(self._threads.submit(self._kept, turn, every_s))
        self._person.start()

    def stop(self) -> None:
        """Ask nothing more; returns when each record and command is taken. Raises what made it fail."""
        self._over.set()
        self._threads.shutdown()
        for turn in self._turns:
            turn.result()
        with httpx.Client(timeout=ANSWER_WITHIN_S, trust_env=False) as client:
            if self._waiting:
                self._publish(client, PAYMENTS, self._waiting)
        for command in self._commands:
            if not command.answered.wait(ACKNOWLEDGED_WITHIN_S):
                raise Unacknowledged(f"command {command.request_id} is not answered: {command.said}")
            self.told.commands.add(command.request_id)
        self._person.over.set()
        self._person.join(ACKNOWLEDGED_WITHIN_S)
        if self._person.is_alive():
            raise Unacknowledged(f"the person's last command is not answered: {self._person.said}")
        self.told.returns |= self._person.refused

    def await_answer(self) -> None:
        """Return once a question was answered: in a short round the first version may come after the last strike."""
        until_s = time.monotonic() + VERSION_WITHIN_S
        while not self.told.answered and time.monotonic() < until_s:
            time.sleep(AGAIN_AFTER_S)

    def close(self) -> None:
        """Ask no more, whatever is not taken yet."""
        self._over.set()
        self._given_up.set()
        for command in self._commands:
            command.answered.set()
        self._person.over.set()
        self._person.given_up.set()
        self._threads.shutdown()

    def command(self) -> Command:
        """Ask the console for what the registry has to refuse: to approve a version that is not there."""
        with self._lock:
            command = Command(f"chaos-{len(self._commands)}", self._urls["console"])
            self._commands.append(command)
        command.start()
        return command

    def _kept(self, turn: Callable[[httpx.Client], None], every_s: float) -> None:
        with httpx.Client(timeout=ANSWER_WITHIN_S, trust_env=False) as client:
            while not self._over.wait(every_s):
                turn(client)

    # --- records

    def _send(self, client: httpx.Client) -> None:
        now = self._now()
        if now is None:
            return
        with self._lock:
            payments, self._waiting = self._waiting, []
        payments += [self._payment(now[0]) for _ in range(self._draw.randrange(1, 3) - len(payments))]
        for payment in payments:
            self._hold_truth(payment, now)
        self._publish(client, PAYMENTS, payments)
        due = [truth for known_ms, truth in self._held if known_ms <= now[0]]
        self._held = [held for held in self._held if held[0] > now[0]]
        if due:
            self._publish(client, TRUTHS, due)

    def _payment(self, at_ms: int) -> Record:
        with self._lock:
            name = f"{OURS}{len(self.told.records):05}"
            card, amount = f"c{self._draw.randrange(6)}", round(self._draw.expovariate(1 / 50), 2)
            risk = round(self._draw.gauss(0, 1), 3)
            record: Record = {"payment": name, "card": card, "at": at_ms, "amount": amount, "risk": risk}
            self.told.records[name] = PAYMENTS, record
        return record

    def _hold_truth(self, payment: Record, now: tuple[int, bool]) -> None:
        now_ms, turned = now
        known_ms, risk = now_ms + self._draw.randrange(MATURES_MS // 2, MATURES_MS), payment["risk"]
        assert isinstance(risk, float)
        name = f"{payment['payment']}a"
        truth: Record = {
            "truth": name, "payment": payment["payment"], "known_at": known_ms, "bad": (risk > 0) != turned
        }  # fmt: skip
        self._held.append((known_ms, truth))

    def _publish(self, client: httpx.Client, source: str, records: Sequence[Record]) -> None:
        ids = [str(record["payment" if source == PAYMENTS else "truth"]) for record in records]
        with self._lock:
            self.told.records |= {name: (source, record) for name, record in zip(ids, records, strict=True)}
        body = b"\n".join(orjson.dumps(record) for record in records)
        until_s = time.monotonic() + ACKNOWLEDGED_WITHIN_S
        processes = itertools.cycle(self._draw.sample(["ingestion", "ingestion-1"], 2))
        for process in processes:
            for name in ids:
                self.told.attempts[name] = self.told.attempts.get(name, 0) + 1
            status, said = posted(client, f"{self._urls[process]}/v1/records/{source}", body)
            if status == 202:
                self._acknowledged(ids, said)
                return
            if status not in REFUSED:
                raise AssertionError(f"{process} answers {status} to records that fit: {said}")
            if time.monotonic() > until_s or self._given_up.is_set():
                raise Unacknowledged(f"{ids} of {source} were not taken in {ACKNOWLEDGED_WITHIN_S:.0f} s: {said}")
            self.told.tried_again += 1
            time.sleep(AGAIN_AFTER_S)

    def _acknowledged(self, ids: Sequence[str], said: Mapping[str, Any]) -> None:
        if [record["id"] for record in said["records"]] != list(ids):
            raise AssertionError(f"{ids} were sent, and acknowledged are {said['records']}")
        self.told.acknowledged.update(ids)
        for record in said["records"]:
            log = f"{record['topic']}/{record['partition']}"
            self.told.ends[log] = max(self.told.ends.get(log, 0), record["offset"] + 1)

    # --- questions

    def _question(self, client: httpx.Client) -> None:
        """About nobody's record, one that was sent, or one that is to be sent."""
        now = self._now()
        if now is None:
            return
        request_id = f"q{len(self.told.answers):05}"
        self.told.answers[request_id] = None
        process = self._ask_draw.choice(["serving", "serving-1"])
        body = orjson.dumps(self._asked(now[0]))
        url = f"{self._urls[process]}/v1/models/{MODEL}/predict"
        status, said = posted(client, url, body, {"X-Request-Id": request_id})
        if status == 200:
            if said["request_id"] != request_id:
                raise AssertionError(f"{request_id} was asked, and answered is {said}")
            self.told.answers[request_id] = said
        elif status not in REFUSED:
            raise AssertionError(f"{process} answers {status} to a question that fits: {said}")

    def _asked(self, at_ms: int) -> Record:
        draw = self._ask_draw.random()
        if draw < 0.15:
            payment = self._payment(at_ms)
            with self._lock:
                self._waiting.append(payment)
            return payment
        with self._lock:
            sent = [record for source, record in self.told.records.values() if source == PAYMENTS]
        if draw < 0.3 and sent:
            return self._ask_draw.choice(sent[-5:])
        amount, risk = round(self._ask_draw.expovariate(1 / 50), 2), round(self._ask_draw.gauss(0, 1), 3)
        return {"card": f"c{self._ask_draw.randrange(8)}", "at": at_ms, "amount": amount, "risk": risk}
