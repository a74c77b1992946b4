"""The object store: large things by content, so that writing one twice changes nothing; copies by name."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

from shared.contracts.control import Reference
from shared.contracts.errors import HeadraceError


class ArtifactMissing(HeadraceError):
    """The store does not give what a reference names."""

    def __init__(self, uri: str, reason: str) -> None:
        super().__init__(
            f"The object store does not give {uri}: {reason}. Check HEADRACE_OBJECT_STORE: all need the same"
        )


class ArtifactDamaged(HeadraceError):
    """What the store holds is not what was written."""

    def __init__(self, uri: str, expected: str, found: str) -> None:
        super().__init__(f"{uri} has sha256 {found}, but its reference says {expected}: restore it from a backup")


class ArtifactStore:
    """Bytes by `{log id}/{kind}/{sha256}{suffix}`; a reference is checked whenever it is followed."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @classmethod
    def at(cls, url: str) -> ArtifactStore:
        """A store at `memory:`, a folder, or a URL of S3, Google Cloud Storage or Azure."""
        if url == "memory:":
            return cls(MemoryStore())
        if "://" not in url:
            Path(url).mkdir(parents=True, exist_ok=True)
            return cls(LocalStore(Path(url).resolve()))
        return cls(from_url(url))

    def put(self, log_id: str, kind: str, data: bytes, suffix: str = "") -> Reference:
        """Write and name. Raises ArtifactMissing when the store cannot be reached."""
        sha256 = hashlib.sha256(data).hexdigest()
        uri = f"{log_id}/{kind}/{sha256}{suffix}"
        self.write(uri, data)
        return Reference(uri=uri, sha256=sha256, bytes=len(data))

    def get(self, reference: Reference) -> bytes:
        """Read and check. Raises ArtifactMissing or ArtifactDamaged."""
        data = self.read(reference.uri)
        found = hashlib.sha256(data).hexdigest()
        if found != reference.sha256:
            raise ArtifactDamaged(reference.uri, reference.sha256, found)
        return data

    def write(self, uri: str, data: bytes) -> None:
        """Put bytes under a name; what stood there is replaced. Raises ArtifactMissing."""
        with _answering(uri):
            obstore.put(self._store, uri, data)

    def read(self, uri: str) -> bytes:
        """The bytes under a name, unchecked. Raises ArtifactMissing."""
        with _answering(uri):
            return bytes(obstore.get(self._store, uri).bytes())

    def names(self, prefix: str) -> list[str]:
        """The names in a folder, sorted. Raises ArtifactMissing."""
        with _answering(prefix):
            return sorted(entry["path"] for chunk in obstore.list(self._store, prefix) for entry in chunk)

    def remove(self, uris: Sequence[str]) -> None:
        """Forget these names; one that is not there is no error. Raises ArtifactMissing."""
        for uri in uris:
            with _answering(uri), suppress(FileNotFoundError):
                obstore.delete(self._store, uri)


@contextmanager
def _answering(uri: str) -> Generator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        raise ArtifactMissing(uri, str(error)) from error
