"""What a file's own bytes and its neighbours tell, before SQLite opens it and may write to it or beside it.

SQLite keeps what it hasn't written to `notes.sqlite` yet in `notes.sqlite-wal` (a log, with `-shm` as its
index) or `notes.sqlite-journal`, and takes whatever goes by these names for its own.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from llmcache_jupyter.caches.sqlite.shared_lock import held_lock
from llmcache_jupyter.errors import StoreError

APPLICATION = 0x4C4C4D43  # "LLMC"
LEFT = "It was left as it is"
_MAGIC = b"SQLite format 3\0"
_HEADER = 100  # bytes


@dataclass(frozen=True)
class _Header:
    """The first hundred bytes of an SQLite file."""

    data: bytes

    @property
    def is_ours(self) -> bool:
        return self.number(68) == APPLICATION

    @property
    def uses_log(self) -> bool:
        return self.data[18] == 2

    @property
    def pages(self) -> int:
        return self.number(28)

    @property
    def size(self) -> int | None:
        """How many bytes the file should have at least, if that is up to date."""
        page = int.from_bytes(self.data[16:18], "big")
        return self.pages * (65536 if page == 1 else page) if self.number(24) == self.number(92) else None

    def number(self, at: int) -> int:
        return int.from_bytes(self.data[at : at + 4], "big")


class Look(NamedTuple):
    """A file with something in it.

    - `how`: as SQLite's URIs say it, how to look into the file without a change to it.
    - `size`, `changed`: in bytes, and in nanoseconds since the epoch.
    """

    how: str
    size: int
    changed: int


def look_at(path: Path) -> Look | None:
    """What there is to look into; None if the file isn't there, or is empty.

    Raises:
        StoreError: it is no file for a store, or what lies beside it is in the way.
    """
    try:
        about = _stat(path)
        if about is None:
            return None
        size = about.st_size
        real = Path(os.path.realpath(path))
        log, journal = (_neighbour(real, ending) for ending in ("-wal", "-journal"))
        _neighbour(real, "-shm")
        if size == 0 and not log:
            return None
        held = held_lock(path)
        header = _Header(_beginning(path) if held is None else held.read(_HEADER))
    except (OSError, ValueError) as error:
        told = (isinstance(error, OSError) and error.strerror) or error
        raise StoreError(f"{path}: it cannot be opened ({told}): name another file.") from error
    _check_header(path, header, bool(log or journal))
    if header.size is not None and size < header.size and not (log or journal):
        raise StoreError(
            f"{path} is damaged: {size:,} bytes of {header.size:,} are there. {LEFT}: fetch it again, "
            "or name another file."
        )
    if journal and header.uses_log and header.pages > 1:
        raise StoreError(
            f"{path} would be damaged by {path.name}-journal, which lies beside it and is another file's. "
            f"{LEFT}: move that one away."
        )
    # SQLite takes no lock to look into what is immutable, and loses this process's when it closes that
    return Look("mode=ro" if log or held else "immutable=1", size, about.st_mtime_ns)


def make(path: Path) -> None:
    """An empty file at `path`, for its owner alone: prompts and answers are the user's own.

    - What is left of one that was deleted goes: a kernel may still have it open, and share the new one's log.
    """
    real = Path(os.path.realpath(path))
    try:
        real.touch(mode=0o600, exist_ok=False)
        for ending in ("-wal", "-shm"):
            real.with_name(real.name + ending).unlink(missing_ok=True)
    except FileExistsError:  # another kernel has just made it
        return
    except OSError as error:
        raise StoreError(
            f"{path}: it cannot be made ({error.strerror}): make its folder writable (chmod u+w), "
            "or name a file elsewhere."
        ) from error


def check_writable(path: Path) -> None:
    """Raises StoreError where this user may not write to the file, or beside it."""
    effective = os.access in os.supports_effective_ids
    real = Path(os.path.realpath(path))
    for place in (real, real.parent):
        if not os.access(place, os.W_OK, effective_ids=effective):
            raise StoreError(
                f"{path}: {place} is read-only, and a store is written to: make it writable (chmod u+w), "
                "or use a copy of the file."
            )


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEADER)


def _stat(path: Path) -> os.stat_result | None:
    try:
        about = path.stat()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise StoreError(f"{path}: there is no folder {path.parent}: make it first.") from None
        return None
    if not stat.S_ISREG(about.st_mode):
        kind = "a folder" if stat.S_ISDIR(about.st_mode) else "no ordinary file"
        example = (
            path / "llmcache.sqlite" if stat.S_ISDIR(about.st_mode) else path.with_name("llmcache.sqlite")
        )
        raise StoreError(f"{path} is {kind}: name a file, for example {example}.")
    return about


def _neighbour(path: Path, ending: str) -> int:
    """The size of the file beside `path` that SQLite would use; 0 where it would not."""
    beside = path.with_name(path.name + ending)
    try:
        about = beside.lstat()
        if not stat.S_ISREG(about.st_mode):
            raise StoreError(
                f"{path} cannot be used: {beside.name}, which lies beside it, is no ordinary file. "
                f"{LEFT}: move that one away."
            )
        if ending != "-journal" or not about.st_size:
            return about.st_size
        with beside.open("rb") as file:
            return about.st_size if file.read(1) != b"\0" else 0  # so begins one that is done with
    except FileNotFoundError:  # never there, or another kernel has just closed the file
        return 0


def _check_header(path: Path, header: _Header, has_neighbour: bool) -> None:
    if len(header.data) < _HEADER or not header.data.startswith(_MAGIC):
        if has_neighbour and not header.data:
            raise StoreError(
                f"{path} is empty, and has a log of another file ({path.name}-wal). {LEFT}: move it away."
            )
        raise StoreError(f"{path} is no SQLite file. {LEFT}: name another file.")
    if has_neighbour and not header.is_ours:
        raise StoreError(f"{path} is another program's SQLite file, in use. {LEFT}: name another file.")
