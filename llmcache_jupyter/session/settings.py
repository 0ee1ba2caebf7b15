"""Settings: what a user sets of a session, checked before anything changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from llmcache_jupyter.caches.limits import LimitedCache, Limits, Policy, checked_limits
from llmcache_jupyter.errors import InvalidSettingError, LLMCacheError
from llmcache_jupyter.session.duration import seconds
from llmcache_jupyter.session.scope import check_mode
from llmcache_jupyter.session.stores import StoreSpec, check_store


class Keep:
    """The setting stays as it is."""


KEEP: Final = Keep()


@dataclass(frozen=True, slots=True)
class Settings:
    """What is to change; KEEP is what is not.

    Raises:
        InvalidSettingError: one of the values cannot be.
    """

    maxsize: int | Keep | None = KEEP
    policy: Policy | Keep = KEEP
    ttl: str | float | timedelta | Keep | None = KEEP
    mode: str | Keep = KEEP
    store: StoreSpec | Keep | None = KEEP

    def __post_init__(self) -> None:
        if not isinstance(self.mode, Keep):
            check_mode(self.mode)
        if self.store is not None and not isinstance(self.store, Keep):
            check_store(self.store)
        self._limits(Limits(None, "fifo", None))

    @property
    def names_limits(self) -> bool:
        """Whether one of the limits is to change, if only to what it is."""
        return any(not isinstance(limit, Keep) for limit in (self.maxsize, self.policy, self.ttl))

    def limits(self, present: LimitedCache) -> Limits:
        """The limits of a cache that has the present ones, after the change."""
        return self._limits(Limits(present.maxsize, present.policy, present.ttl))

    def _limits(self, present: Limits) -> Limits:
        try:
            return checked_limits(
                present.maxsize if isinstance(self.maxsize, Keep) else self.maxsize,
                present.policy if isinstance(self.policy, Keep) else self.policy,
                _ttl(present.ttl if isinstance(self.ttl, Keep) else self.ttl),
            )
        except LLMCacheError:
            raise
        except ValueError as error:
            raise InvalidSettingError(str(error)) from None


def _ttl(ttl: str | float | timedelta | None) -> float | None:
    return None if ttl is None else seconds(ttl)
