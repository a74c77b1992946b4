"""`headrace up`: the platform on this machine, until Ctrl-C."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from deploy.local.options import UpOptions
from deploy.local.platform import LocalPlatform, to_standard_error
from deploy.local.staying import terminates_as_interrupted, until_interrupted
from deploy.local.telling import tell_nobody, tell_standard_output
from shared.contracts.errors import HeadraceError
from shared.contracts.topology import NO_DEFINITIONS
from shared.runtime.definition_files import load
from shared.runtime.log import LogError


def run_up(options: UpOptions) -> int:
    """Start everything, say what listens where, and stop all of it on Ctrl-C or SIGTERM. What fails is raised."""
    tell = tell_standard_output if options.json else tell_nobody
    platform = LocalPlatform(
        options.data, broker=options.broker, port_base=options.port_base, verbose=options.verbose, fresh=options.fresh,
        tell=tell, instances=options.instances,
    )  # fmt: skip
    try:
        if platform.embedded or options.fresh:
            _check(options.definitions)
        with terminates_as_interrupted(), platform:
            platform.apply(options.definitions)
            to_standard_error(welcome(platform, options))
            tell("ready", **addresses(platform))
            until_interrupted(platform)
    except KeyboardInterrupt:
        to_standard_error("everything has stopped")
        tell("stopped", reason="interrupted")
    except (HeadraceError, LogError) as failed:
        tell("stopped", reason=str(failed))
        raise
    return 0


def _check(files: Sequence[Path]) -> None:
    """Where nothing is in force, a file that cannot be put in force is told before anything starts."""
    in_force = NO_DEFINITIONS
    for file in files:
        in_force = in_force.with_applied(load(file, in_force).published)


def addresses(platform: LocalPlatform) -> dict[str, JsonValue]:
    """Where everything listens, and what lies where."""
    return {
        "broker": platform.bootstrap,
        "services": dict(platform.urls),
        "embedded": platform.embedded,
        "data": str(platform.data),
        "logs": str(platform.data / "logs"),
    }


def welcome(platform: LocalPlatform, options: UpOptions) -> str:
    """What listens where, what is kept, and what to try next."""
    console = "" if options.port_base is None else f" --console {platform.console}"
    services = "\n".join(f"  {name:<11} {url}" for name, url in platform.urls.items())
    keeps = (
        "It keeps everything in memory: when it stops, records, models and definitions are gone (--broker kafka keeps "
        "them)."
        if platform.embedded
        else f"What it holds is kept in {platform.data} for the next start."
    )
    define = "" if options.definitions else f"  headrace apply{console} -f examples/electricity/definitions.yaml\n"
    return (
        "\nHeadrace is running. Ctrl-C stops it.\n\n"
        f"  {'broker':<11} {platform.bootstrap} (Kafka protocol)\n{services}\n"
        f"\n{keeps}\nLogs: {platform.data / 'logs'}\n\nNext:\n{define}"
        f"  headrace status{console} --watch\n"
        f"  headrace replay{console} examples/electricity/definitions.yaml electricity.csv\n"
    )
