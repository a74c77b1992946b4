"""All checks, each by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from services.console.doctor import agreement_checks, log_checks, service_checks, storage_checks
from services.console.doctor.facts import Facts
from services.console.doctor.finding import CannotLook, Check, Diagnosis, Finding, NotMade, Unseen

CHECKS: Mapping[Check, Callable[[Facts], Iterator[Finding]]] = {
    Check.BROKER: log_checks.broker,
    Check.LOG: log_checks.control_log,
    Check.TOPICS: log_checks.topics,
    Check.RETENTION: log_checks.retention,
    Check.SERVICES: service_checks.services,
    Check.TASKS: service_checks.tasks,
    Check.LOST_RECORDS: log_checks.lost_records,
    Check.COPIES: storage_checks.copies,
    Check.CLOCKS: agreement_checks.clocks,
    Check.DISKS: storage_checks.disks,
    Check.STATE: storage_checks.state,
    Check.CODE: agreement_checks.code,
    Check.DEAD_LETTERS: agreement_checks.dead,
}


def diagnose(facts: Facts) -> Diagnosis:
    """What every check finds; one that lacks something part of the way keeps what it found before."""
    blind = isinstance(facts.log, Unseen) and isinstance(facts.folders, Unseen) and not facts.answering
    diagnosis = Diagnosis(blind)
    for check, made in CHECKS.items():
        try:
            for finding in made(facts):
                diagnosis.findings.append(finding)
        except CannotLook as lacking:
            diagnosis.not_made.append(NotMade(check, str(lacking)))
        else:
            diagnosis.made.append(check)
    return diagnosis
