"""Recordings: files of entries to hand on, one a line. Saved, read, and put into a cache.

A recording is sorted by model and prompt, so that an answer that was stored anew stays where it was. Two of
them in one file are a recording too.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from llmcache_jupyter.caches import Entry, EntryCache, Key
from llmcache_jupyter.caches.entry import entry_id
from llmcache_jupyter.caches.jsonl import MAX_LINE, VERSION, line_of, read_line
from llmcache_jupyter.caches.llm_string import model_name
from llmcache_jupyter.caches.prompt import prompt_text
from llmcache_jupyter.errors import DecodingError, EncodingError, StoreError
from llmcache_jupyter.session.identity.asking import is_bound_to_kernel
from llmcache_jupyter.session.identity.keys import canonical_key
from llmcache_jupyter.session.progress import Progress, quietly

# a line is written with this precision
_STORED_DIGITS = 1e-6
_REASONS = 10
_AT_ONCE = 100
_OURS = re.compile(rb'[\xef\xbb\xbf\s]*\{"llmcache": ?(\d+)')


@dataclass(frozen=True, slots=True)
class Saved:
    """What a save wrote: `entries` lines.

    - `redacted`: how many of them a credential was taken out of. These answer no call any more.
    - `redacted_ids`: which these are, the first ten.
    - `gone`: how many entries were used, and are no longer in the cache.
    - `dropped`: how many entries the file held before, and no longer does.
    - `bound`: how many answer in this kernel alone, since no data tells an object that they were asked with.
    - `unwritable`: why an entry could not be written, and how many there are.
    """

    path: str
    entries: int
    redacted: int = 0
    redacted_ids: tuple[str, ...] = ()
    gone: int = 0
    dropped: int = 0
    bound: int = 0
    unwritable: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recording:
    """What a file holds.

    - `entries`: in the order in which they were stored.
    - `redacted`: how many more there are, which a credential was taken out of.
    - `bad`: how many lines are no entries. `reasons`: why, by the line's number, of the first ten.
    """

    path: str
    entries: list[Entry]
    redacted: int = 0
    bad: int = 0
    reasons: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load did with a recording: `entries` are in the cache now that were not, or were older.

    - `known`: entries that the cache already had, as new or newer ones.
    - `expired`: entries older than the time to live, which were left out.
    - `evicted`: entries that had to go, because there is a maximum.
    """

    recording: Recording
    entries: int
    known: int = 0
    expired: int = 0
    evicted: int = 0


def save(
    cache: EntryCache,
    path: str | PathLike[str],
    *,
    ids: set[str] | None = None,
    model: str | None = None,
    add: bool = False,
    progress: Progress = quietly,
) -> Saved:
    """Write the cache's entries, or those with these ids, of this model, to a file; all of it or nothing.

    - `add`: besides what the file holds, which else it no longer does.
    - Saving the same entries again writes the same bytes. A file that is there keeps its permissions.

    Raises:
        StoreError: there is nothing to save, or the file cannot be written. What was there is as it was.
    """
    target = _target(path)
    keys, gone = _chosen(cache, ids, model)
    entries = bound = 0
    redacted: list[str] = []
    unwritable: dict[str, int] = {}
    with _replacing(target, path) as write:
        before = _lines_by_key(target)
        others = before.keys() - keys
        keys += others if add else ()
        for key in progress(sorted(keys, key=_place), len(keys), "saving"):
            if key in others:
                write(before[key])
                continue
            entry = cache.get(key)
            if entry is None:  # it went meanwhile
                continue
            try:
                line = line_of(entry)
            except EncodingError as error:
                unwritable[str(error)] = unwritable.get(str(error), 0) + 1
                continue
            write(line.text)
            entries += 1
            bound += is_bound_to_kernel(key[1])
            if line.is_redacted:
                redacted.append(entry.id)
        if not entries:
            why = next(iter(unwritable), "the cache holds no such entry")
            raise StoreError(f"There is nothing to save: {why}. {path} was not written.")
    dropped = 0 if add else len(others)
    return Saved(
        str(path), entries, len(redacted), tuple(redacted[:_REASONS]), gone, dropped, bound, unwritable
    )


def read(path: str | PathLike[str], *, progress: Progress = quietly, longest: int = MAX_LINE) -> Recording:
    """The entries of the file, with what is wrong in it.

    - `longest`: bytes of a line, at most.

    Raises:
        StoreError: it cannot be read, or not one of its lines.
    """
    entries: list[Entry] = []
    reasons: dict[int, str] = {}
    bad = redacted = 0
    with _opened(path) as file:
        total = sum(1 for _ in _lines(file, longest))
        file.seek(0)
        for number, line in progress(enumerate(_lines(file, longest), start=1), total, "reading"):
            if not line.strip(b"\xef\xbb\xbf\r\n\t "):
                continue
            try:
                found = read_line(line, longest=longest)
            except DecodingError as error:
                bad += 1
                if len(reasons) < _REASONS:
                    reasons[number] = str(error)
                continue
            if found.is_redacted:
                redacted += 1
            else:
                # what a key leaves out may have become more since the file was written
                entries.append(replace(found.entry, key=canonical_key(*found.entry.key)))
    recording = Recording(str(path), entries, redacted, bad, reasons)
    if not entries and not redacted:
        raise StoreError(_nothing_read(recording))
    entries.sort(key=lambda entry: entry.stored)
    return recording


def put(
    cache: EntryCache,
    recording: Recording,
    *,
    now: float,
    ttl: float | None = None,
    progress: Progress = quietly,
) -> Loaded:
    """Put a recording's entries into the cache. One that the cache already has gives way to a newer one only.

    - No entry is newer than `now`, whatever its file says.
    """
    entries = known = expired = evicted = 0
    there: dict[Key, float] = {}
    waiting: list[Entry] = []
    for number, recorded in enumerate(progress(recording.entries, len(recording.entries), "loading")):
        if number % _AT_ONCE == 0:
            evicted += cache.put_all(waiting)
            waiting = []
            there = cache.stored_when(one.key for one in recording.entries[number : number + _AT_ONCE])
        entry = replace(recorded, stored=min(recorded.stored, now))
        if ttl is not None and now - entry.stored >= ttl:
            expired += 1
        elif entry.stored <= there.get(entry.key, -1.0) + _STORED_DIGITS:
            known += 1
        else:
            there[entry.key] = entry.stored
            waiting.append(entry)
            entries += 1
    evicted += cache.put_all(waiting)
    return Loaded(recording, entries, known, expired, evicted)


def _chosen(cache: EntryCache, ids: set[str] | None, model: str | None) -> tuple[list[Key], int]:
    """The keys of the entries with these ids, of this model; and how many of the ids are those of none."""
    known = {key: entry_id(key) for key in cache.keys()}  # noqa: SIM118 (a method; tiers may name a key twice)
    gone = 0 if ids is None or model is not None else len(ids.difference(known.values()))
    keys = [
        key
        for key, one in known.items()
        if (ids is None or one in ids) and (model is None or model_name(key[1]) == model)
    ]
    return keys, gone


def _lines_by_key(target: Path) -> dict[Key, str]:
    """The lines of the entries that the file holds; none where it is not there yet."""
    lines: dict[Key, str] = {}
    if os.path.lexists(target):
        with _opened(target) as file:
            for line in _lines(file, MAX_LINE):
                with suppress(DecodingError):
                    found = read_line(line)
                    if not found.is_redacted:
                        lines[canonical_key(*found.entry.key)] = line.decode().strip("\ufeff\r\n")
    return lines


def _place(key: Key) -> tuple[str, str, str, str]:
    return model_name(key[1]) or "", prompt_text(key[0]), key[1], key[0]


def _target(path: str | PathLike[str]) -> Path:
    """Where the file is or will be, links followed. Raises StoreError if it may not be written."""
    try:
        target = Path(path).expanduser().resolve()
        about = target.stat() if os.path.lexists(target) else None
    except (OSError, ValueError, RuntimeError) as error:
        raise StoreError(f"{str(path)!r} cannot be written ({error}): name another file.") from None
    if about is None:
        if not target.parent.is_dir():
            raise StoreError(f"{path}: there is no folder {Path(path).parent}: make it first.")
        return target
    if not stat.S_ISREG(about.st_mode):
        raise _no_file(path, about.st_mode)
    if not os.access(target, os.W_OK):
        raise StoreError(f"{path} is read-only: make it writable (chmod u+w), or name another file.")
    with target.open("rb") as file:
        beginning = file.read(4096)
    ours = _OURS.match(beginning)
    if beginning.strip() and not ours:
        raise StoreError(
            f"{path} was not written by `%llmcache save`. It was left as it is: name another file."
        )
    if ours and int(ours[1]) > VERSION:
        raise StoreError(
            f"{path} was written by a newer llmcache-jupyter. It was left as it is: name another file, "
            "or pip install --upgrade llmcache-jupyter."
        )
    return target


@contextmanager
def _replacing(target: Path, path: str | PathLike[str]) -> Iterator[Callable[[str], None]]:
    """Writes lines into a file beside the target, which takes its place at the end; on an error it goes."""
    beside = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.tmp")
    with _telling(path, "written"):
        file = beside.open("xb")  # not `mkstemp`: a new file gets the permissions that new files have here

    def write(line: str) -> None:
        with _telling(path, "written"):
            file.write(f"{line}\n".encode())

    try:
        yield write
        with _telling(path, "written"):
            file.flush()
            os.fsync(file.fileno())
            file.close()
            if os.path.lexists(target):
                beside.chmod(stat.S_IMODE(target.stat().st_mode))
            beside.replace(target)
    finally:
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            beside.unlink()


@contextmanager
def _opened(path: str | PathLike[str]) -> Iterator[BinaryIO]:
    source = Path(path).expanduser()
    with _telling(path, "read"):
        about = source.stat()
        if not stat.S_ISREG(about.st_mode):
            raise _no_file(path, about.st_mode)
        file = source.open("rb")
    with file:
        yield file


def _lines(file: BinaryIO, longest: int) -> Iterator[bytes]:
    """The file's lines. Of one that is too long, only so much that it is seen to be."""
    while line := file.readline(longest + 3):
        yield line
        while len(line) > longest + 2 and not line.endswith(b"\n"):
            line = file.readline(longest + 3)


@contextmanager
def _telling(path: str | PathLike[str], done: str) -> Iterator[None]:
    """Tells what the system says of the file as a StoreError."""
    try:
        yield
    except FileNotFoundError:
        where = "" if Path(path).is_absolute() else f" in {Path.cwd()}"
        raise StoreError(f"There is no file {path}{where}: `%llmcache save {path}` writes one.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(f"{path} cannot be {done} ({reason}): mend that, or name another file.") from error


def _no_file(path: str | PathLike[str], mode: int) -> StoreError:
    kind = "a folder" if stat.S_ISDIR(mode) else "no ordinary file"
    return StoreError(f"{path} is {kind}: name a file, for example {Path(path) / 'lesson.jsonl'}.")


def _nothing_read(recording: Recording) -> StoreError:
    path, lines = recording.path, [f"line {number}: {why}" for number, why in recording.reasons.items()]
    if not lines:
        return StoreError(f"{path} is empty: `%llmcache save {path}` fills it.")
    more = f"; and {recording.bad - 3:,} more" if recording.bad > 3 else ""
    return StoreError(
        f"{path} holds no entry that can be read ({'; '.join(lines[:3])}{more}). "
        "`%llmcache save FILE` writes a file that can."
    )
