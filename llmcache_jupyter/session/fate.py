"""Fate: what became of the entry that a call asked for, and how that is said."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from llmcache_jupyter.session.events import Removal
from llmcache_jupyter.views.format import seconds

What = Removal | Literal["expired", "gone", "left out"]


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of an entry that was here.

    - `at`: when it was removed or expired, or was last seen where it is "gone"; None where that is not known.
    - `maxsize`: the maximum that it was evicted for. `path`: the file whose load left it out.
    """

    what: What
    at: float | None = None
    maxsize: int | None = None
    path: str | None = None

    @property
    def tells_what_to_do(self) -> bool:
        """Whether the words name what brings the entry back, or keeps the next one."""
        return self.what in ("expired", "left out", "evicted")

    def in_words(self, now: float) -> str:
        """A sentence that says it, and what to do: `now` is when the entry was asked for."""
        ago = "" if self.at is None else f" {seconds(max(0.0, now - self.at))} before"
        match self.what:
            case "expired":
                return f"Its entry had expired{ago}: {_A_WHILE} (`%llmcache on --ttl none` keeps them)."
            case "left out":
                brings = f"`%llmcache on --ttl none --load {self.path}` brings it"
                return f"Its entry in {self.path} had expired{ago}: {_A_WHILE} ({brings})."
            case "evicted":
                limit = "" if self.maxsize is None else f" (maxsize {self.maxsize})"
                return (
                    f"Its entry was evicted{limit}: there was no room. `%llmcache on --maxsize N` makes more."
                )
            case "gone":
                seen = f"Its entry, seen at {clock(self.at)}, was gone"
                return f"{seen}: it expired, was removed by another kernel, or the store is another one."
            case _:
                return f"Its entry was {self.what} at {clock(self.at)}."


_A_WHILE = "entries live only for a time"


def clock(at: float | None) -> str:
    """The time of day."""
    return "an unknown time" if at is None else time.strftime("%H:%M", time.localtime(at))
