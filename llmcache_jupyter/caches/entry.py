"""Entry: a key, its generations and what is known about them; EntryCache: a cache that can be browsed."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from llmcache_jupyter.caches.base import BaseCache, run_in_executor
from llmcache_jupyter.caches.llm_string import model_name
from llmcache_jupyter.caches.uses import Use

Key = tuple[str, str]
SortColumn = Literal["stored", "model", "cell", "prompt", "answer", "tokens", "took", "hits", "last_used"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What is stored under a key, and what is known about it. Unknown is None, never 0.

    - `key`: the pair that a lookup asks for.
    - `generations`: the answer.
    - `stored`: when it was stored, in seconds since the epoch.
    - `sent`: the prompt as it was sent, where it differs from the key's.
    - `took`: seconds the model needed.
    - `tokens`: tokens the provider counted, input and output together.
    - `cell`: the notebook cell that stored it.
    - `hits`, `last_used`: how often and when (seconds since the epoch) it answered a call.
    """

    key: Key
    generations: list[Any]
    stored: float
    sent: str | None = None
    took: float | None = None
    tokens: int | None = None
    cell: str | None = None
    hits: int = 0
    last_used: float | None = None
    _digest: bytes | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that stand for the key, the same in every kernel."""
        return self.digest[:6].hex()

    @property
    def digest(self) -> bytes:
        """Sixteen bytes that stand for the key."""
        if self._digest is None:
            object.__setattr__(self, "_digest", _digest(self.key))  # every hit asks for it
        return self._digest  # type: ignore[return-value]

    @property
    def prompt(self) -> str:
        """The prompt as it was sent."""
        return self.key[0] if self.sent is None else self.sent

    @property
    def model(self) -> str | None:
        """The model's name, or None where the configuration does not tell it."""
        return model_name(self.key[1])

    def used(self, use: Use) -> Entry:
        """The entry with these hits more."""
        about = (self.stored, self.sent, self.took, self.tokens, self.cell)
        entry = Entry(self.key, self.generations, *about, self.hits + use.hits, use.last)
        object.__setattr__(entry, "_digest", self._digest)
        return entry


def entry_id(key: Key) -> str:
    """The id of the entry under `key`: the first twelve hexadecimal digits of the key's digest."""
    return key_digest(key)[:6].hex()


@lru_cache(maxsize=16)
def key_digest(key: Key) -> bytes:
    """Sixteen bytes that stand for the key. A call on its way asks several times."""
    return _digest(key)


def _digest(key: Key) -> bytes:
    # the length keeps the two parts apart
    prompt, llm_string = key[0].encode("utf-8", "surrogatepass"), key[1].encode("utf-8", "surrogatepass")
    return hashlib.blake2b(b"%d:%b%b" % (len(prompt), prompt, llm_string), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Query:
    """Which entries to list, in which order, and which page of them.

    - `text`: only entries whose prompt or answer contains it, whatever the case.
    - `model`: only entries of this model.
    - `id`: only entries whose id begins so.
    - `stored_before`: only entries stored before this moment, in seconds since the epoch.
    - `limit`: None lists all.
    """

    text: str | None = None
    model: str | None = None
    id: str | None = None
    stored_before: float | None = None
    sort: SortColumn = "stored"
    descending: bool = True
    offset: int = 0
    limit: int | None = 50

    @property
    def filters(self) -> bool:
        """Whether the query leaves any entry out."""
        return any(part is not None for part in (self.text, self.model, self.id, self.stored_before))


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the entries a query found; `total` is how many it found in all."""

    entries: list[Entry]
    total: int


class EntryCache(BaseCache):
    """A cache that holds entries, and can list, get and delete them.

    - `get` and `entries` only look: they change no counter and no order of eviction.
    - `lookup` is `get` and, on a hit, `touch`; `update` is `put`; so with their async twins.
    - An entry never changes: a hit counted on it makes a new one.
    """

    clock: Callable[[], float]
    shared = False  # whether clearing it affects others

    @property
    def name(self) -> str:
        """What a user would call it, without credentials: a file, an address, a type."""
        return type(self).__name__

    @abstractmethod
    def get(self, key: Key) -> Entry | None:
        """The entry under `key`, or None. An expired entry is none."""

    def find(self, key: Key) -> Entry | None:
        """`get`, for the answer alone: not all hits may be counted on it. May be cheaper."""
        return self.get(key)

    @abstractmethod
    def put(self, entry: Entry) -> int:
        """Store an entry in place of one with the same key. Returns how many others had to go for it."""

    def put_all(self, entries: Iterable[Entry]) -> int:
        """`put` each. Returns how many others had to go.

        - One that fails may leave those before it stored.
        """
        return sum(map(self.put, entries))

    def stored_when(self, keys: Iterable[Key]) -> dict[Key, float]:
        """When what is under these keys was stored, in seconds since the epoch; without what is absent."""
        found = map(self.get, keys)
        return {entry.key: entry.stored for entry in found if entry is not None}

    def put_latest(self, entries: Iterable[Entry]) -> set[Key]:
        """`put` each, unless what is there was stored later. Returns the keys of those that were not put.

        - A cache that others write to does this in one step, if it can.
        """
        many = list(entries)
        stored = self.stored_when(entry.key for entry in many)
        older = {entry.key for entry in many if entry.stored < stored.get(entry.key, entry.stored)}
        self.put_all(entry for entry in many if entry.key not in older)
        return older

    @abstractmethod
    def touch(self, key: Key) -> None:
        """Count a hit on the entry under `key`, now."""

    @abstractmethod
    def delete(self, ids: Iterable[str]) -> int:
        """Remove the entries with these ids. Returns how many there were."""

    def discard(self, key: Key) -> bool:
        """Remove the entry under `key`. Returns whether there was one."""
        return self.delete([entry_id(key)]) > 0

    @abstractmethod
    def entries(self, query: Query = Query()) -> Page:
        """The page of entries that `query` asks for."""

    def by_id(self, ids: Iterable[str]) -> dict[str, Entry]:
        """The entries with these whole ids, as far as there are any."""
        wanted = set(ids)
        found = (self.entries(Query(id=one, limit=1)).entries for one in wanted)
        return {entry.id: entry for entries in found for entry in entries if entry.id in wanted}

    def flush(self) -> None:
        """Have everything where it is to stay."""

    @abstractmethod
    def models(self) -> dict[str | None, int]:
        """How many entries there are of each model, the most frequent first."""

    @abstractmethod
    def __len__(self) -> int:
        """How many entries there are."""

    def keys(self) -> Iterator[Key]:
        """The keys of all entries, in no order. What is stored or removed meanwhile may be among them."""
        return (entry.key for entry in self.entries(Query(limit=None)).entries)

    def holds(self, entry: Entry) -> bool:
        """Whether this entry, as it was stored then, is what `get` would find now. Cheaper than `get`."""
        found = self.get(entry.key)
        return found is not None and found.stored == entry.stored

    def lookup(self, prompt: str, llm_string: str) -> list[Any] | None:
        key = (prompt, llm_string)
        entry = self.get(key)
        if entry is None:
            return None
        self.touch(key)
        return entry.generations

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Any]) -> None:
        if return_val:
            self.put(Entry((prompt, llm_string), list(return_val), self.clock()))

    async def alookup(self, prompt: str, llm_string: str) -> list[Any] | None:
        key = (prompt, llm_string)
        entry = await self.aget(key)
        if entry is None:
            return None
        await self.atouch(key)
        return entry.generations

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Any]) -> None:
        if return_val:
            await self.aput(Entry((prompt, llm_string), list(return_val), self.clock()))

    async def aget(self, key: Key) -> Entry | None:
        """`get`, without blocking the event loop."""
        return await run_in_executor(self.get, key)

    async def afind(self, key: Key) -> Entry | None:
        """`find`, without blocking the event loop."""
        return await self.aget(key)

    async def aput(self, entry: Entry) -> int:
        """`put`, without blocking the event loop."""
        return await run_in_executor(self.put, entry)

    async def atouch(self, key: Key) -> None:
        """`touch`, without blocking the event loop."""
        await run_in_executor(self.touch, key)

    async def adelete(self, ids: Iterable[str]) -> int:
        """`delete`, without blocking the event loop."""
        return await run_in_executor(self.delete, ids)

    async def aholds(self, entry: Entry) -> bool:
        """`holds`, without blocking the event loop."""
        return await run_in_executor(self.holds, entry)

    async def aentries(self, query: Query = Query()) -> Page:
        """`entries`, without blocking the event loop."""
        return await run_in_executor(self.entries, query)
