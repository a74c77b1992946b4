"""Planted in the guards against kafka-python, K1 to K7 of docs/reliability.md; noticed by the tests named there."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

CLIENTS, WRITER = "shared/runtime/kafka_clients", "shared/runtime/kafka_writer.py"
RULES = "tests/architecture/import_rules.py"
TRAPS, DAMAGE = "tests/unit/runtime/test_kafka_traps.py", "tests/unit/runtime/test_damaged_batch.py"

MUTANTS = (
    Mutant(
        "transactions are allowed again",
        "7, K1 to K3",
        "No name of the interface of transactions stands anywhere.",
        (Edit(RULES, "        if name in TRANSACTIONS and file != THIS\n", "        if not name and file != THIS\n"),),
        tests=("tests/architecture/test_imports.py::test_a_planted_violation_is_found",),
    ),
    Mutant(
        "a producer that is set up for transactions",
        "7, K1 to K3",
        "No name of the interface of transactions stands anywhere.",
        (
            Edit(
                f"{CLIENTS}/producer.py",
                "            enable_idempotence=True,\n",
                "            enable_idempotence=True,\n            transaction_timeout_ms=60_000,\n",
            ),
        ),
        tests=("tests/architecture/test_imports.py::test_the_repository_keeps_the_rule",),
    ),
    Mutant(
        "a batch that cannot be read never ends",
        "7, K4",
        "A batch that cannot be read ends the answer, and is told.",
        (
            Edit(
                f"{CLIENTS}/partition_records.py",
                "self.next_fetch_offset, error, batch, self.end)\n            self.drain()\n",
                "self.next_fetch_offset, error, batch, self.end)\n",
            ),
        ),
        tests=(f"{DAMAGE}::test_a_flipped_bit_costs_its_batch_and_is_told",),
    ),
    Mutant(
        "a batch is believed to begin wherever it says",
        "7, K4",
        "That a batch begins elsewhere than the one before it ended counts once three answers say so.",
        (Edit(f"{CLIENTS}/beginnings.py", "        if times < DAMAGE_TRIES:\n", "        if times < 1:\n"),),
        tests=(f"{DAMAGE}::test_no_flipped_bit_moves_records_to_other_offsets",),
    ),
    Mutant(
        "a send waits for room for as long as it takes",
        "7, K5",
        "A broker that makes no room in five seconds is away: whatever it does, a send returns.",
        (Edit(WRITER, "deadline_s = time.monotonic() + ROOM_WITHIN_S", "deadline_s = time.monotonic() + 60"),),
        tests=(f"{TRAPS}::test_a_send_that_finds_no_room_returns_and_has_taken_nothing",),
    ),
    Mutant(
        "a topic is asked for as long as it takes",
        "7, K5",
        "First contact and unknown topics have bounds too.",
        (Edit(f"{CLIENTS}/producer.py", "max_block_ms=BLOCK_MS", "max_block_ms=10 * BLOCK_MS"),),
        tests=(f"{TRAPS}::test_a_send_for_which_a_silent_broker_is_asked_first_returns",),
    ),
    Mutant(
        "what is in flight has no bound in bytes",
        "7, K6",
        "At most so many bytes are in flight, for the client's own buffer has no bound.",
        (Edit(WRITER, " or self._in_flight_bytes + size > MAX_IN_FLIGHT_BYTES:\n", ":\n"),),
        tests=(f"{TRAPS}::test_what_is_in_flight_is_bounded_in_bytes",),
    ),
    Mutant(
        "a client is used in a fork",
        "7, K7",
        "Used in a fork of its process, each port raises.",
        (
            Edit(
                "shared/runtime/kafka_wire.py",
                "        if os.getpid() != self._process:\n",
                "        if not self._process:\n",
            ),
        ),
        tests=(f"{TRAPS}::test_a_client_of_the_parent_is_refused_in_a_fork",),
    ),
)
