"""The limits of a cache that keeps itself small: a maximum of entries, what is the oldest, a time to live."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, get_args

from llmcache_jupyter.caches.entry import EntryCache

Policy = Literal["fifo", "lru"]
POLICIES: tuple[Policy, ...] = get_args(Policy)


@dataclass(frozen=True, slots=True)
class Limits:
    """A maximum number of entries, what "oldest" means, and seconds to live; None is no limit."""

    maxsize: int | None
    policy: Policy
    ttl: float | None


def checked_limits(maxsize: int | None, policy: Policy, ttl: float | timedelta | None) -> Limits:
    """These limits, with `ttl` in seconds.

    Raises:
        ValueError: `maxsize` or `ttl` is not greater than 0, or there is no such policy.
    """
    if maxsize is not None and maxsize <= 0:
        raise ValueError("maxsize must be greater than 0")
    if policy not in POLICIES:
        raise ValueError(f'policy must be "fifo" or "lru", not {policy!r}')
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if seconds is not None and not seconds > 0:
        raise ValueError("ttl must be greater than 0")
    return Limits(maxsize, policy, seconds)


class LimitedCache(EntryCache):
    """An EntryCache with limits that can be read and changed. What a session needs of its store."""

    @property
    @abstractmethod
    def maxsize(self) -> int | None:
        """The maximum number of entries, or None."""

    @property
    @abstractmethod
    def policy(self) -> Policy:
        """Which entry is the oldest: the one stored ("fifo") or used ("lru") longest ago."""

    @property
    @abstractmethod
    def ttl(self) -> float | None:
        """Seconds an entry lives, or None."""

    @abstractmethod
    def configure(self, *, maxsize: int | None, policy: Policy, ttl: float | timedelta | None) -> int:
        """Set the limits anew and keep the entries. Returns how many had to go.

        Raises:
            ValueError: one of the values cannot be; nothing was changed.
        """
