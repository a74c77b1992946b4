"""Fetches Apache Kafka's jars from Maven, once, into a cache folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from shared.contracts.errors import HeadraceError

KAFKA_VERSION = "4.3.0"

_CHECKSUMS = Path(__file__).with_name("jars.sha256")
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_POM = f"""\
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>headrace</groupId>
  <artifactId>kafka-jars</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.1</version>
    </dependency>
  </dependencies>
</project>
"""


class ArtifactsUnavailable(HeadraceError):
    """The jars could not be fetched, or are not the ones that `jars.sha256` names."""


def default_cache() -> Path:
    """`HEADRACE_CACHE`, or `~/.cache/headrace`."""
    configured = os.environ.get("HEADRACE_CACHE")
    return Path(configured) if configured else Path.home() / ".cache" / "headrace"


def fetch(cache: Path | None = None) -> Path:
    """The folder that holds Kafka's jars, fetched by Maven if it is not there yet (44 MB, about 10 s).

    Safe when several processes ask at once: one fetches, the others wait. A folder that exists is whole, for it is
    renamed into place after every jar's sha256 was compared.
    """
    cache = cache or default_cache()
    jars = cache / f"kafka-{KAFKA_VERSION}-{_sha256(_CHECKSUMS)[:12]}"
    if jars.is_dir():
        return jars
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jars.is_dir():
            _fetch_into(cache, jars)
    return jars


def java() -> str:
    """Path of the java program, or an error that names the command that installs it."""
    return _program("java")


def _fetch_into(cache: Path, jars: Path) -> None:
    maven = _program("mvn")
    work = Path(tempfile.mkdtemp(prefix="kafka-", dir=cache))
    try:
        (work / "pom.xml").write_text(_POM)
        fetched = work / "jars"
        command = [
            maven,
            "-q",
            "-B",
            "--strict-checksums",
            "-f",
            work / "pom.xml",
            _COPY,
            f"-DoutputDirectory={fetched}",
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            tail = "\n".join((result.stdout + result.stderr).splitlines()[-20:])
            raise ArtifactsUnavailable(
                f"Maven could not fetch Apache Kafka {KAFKA_VERSION}:\n{tail}\nIs Maven's repository reachable?"
            )
        verify(fetched)
        fetched.rename(jars)
    finally:
        shutil.rmtree(work)


def verify(folder: Path) -> None:
    """Compare the folder's jars with `jars.sha256`: the same names, and for each the same content."""
    listed = (line.split() for line in _CHECKSUMS.read_text().splitlines())
    expected = {name: sha256 for sha256, name in listed}
    found = {path.name: _sha256(path) for path in folder.glob("*.jar")}
    if found != expected:
        different = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise ArtifactsUnavailable(
            f"these jars in {folder} are missing, unexpected or of other content than deploy/kafka/jars.sha256 says: "
            f"{', '.join(different)}. Remove the folder and Maven's own copies of them, then try again."
        )


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise ArtifactsUnavailable(
            f"{name} is not on the PATH, and Apache Kafka needs it. Run: make java (or: sudo apt-get install --yes "
            "default-jre-headless maven)"
        )
    return path


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
