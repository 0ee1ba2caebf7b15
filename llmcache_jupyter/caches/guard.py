"""Guard: a block whose failures cost nothing but a pause, and are told."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Literal

from llmcache_jupyter.caches.breaker import Breaker
from llmcache_jupyter.errors import InvalidSettingError

Operation = Literal["read", "write"]
OnFailure = Callable[[Operation, Exception], None]
OnRecovery = Callable[[Operation], None]


class Guard:
    """`with guard:` swallows a failure of what is asked, tells of it, and of its end.

    - `unless`: while this one pauses, it is not asked either.
    """

    def __init__(
        self,
        operation: Operation,
        breaker: Breaker,
        on_failure: OnFailure | None,
        on_recovery: OnRecovery | None,
        unless: Breaker | None = None,
    ) -> None:
        self.breaker = breaker
        self._operation = operation
        self._on_failure = on_failure
        self._on_recovery = on_recovery
        self._unless = unless

    def allows(self) -> bool:
        """Whether to ask now. Who is allowed to does so within the guard."""
        return not (self._unless and self._unless.remaining) and self.breaker.allows()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            if self.breaker.is_open:
                self.worked()
            return False
        if not isinstance(error, Exception) or isinstance(error, InvalidSettingError):
            return False  # an interrupt, or a question that no tier can answer
        self.failed(error)
        return True

    def failed(self, error: Exception, *, is_news: bool = True) -> None:
        """Note that it failed."""
        if is_news:
            self.tell(error)  # first: who sees the breaker open and finds that it works, tells after this
        self.breaker.failed()

    def tell(self, error: Exception) -> None:
        """Tell of an error."""
        if self._on_failure is not None:
            self._on_failure(self._operation, error)

    def worked(self) -> None:
        """Note that it worked."""
        if self.breaker.is_open:
            self.breaker.worked()
            if self._on_recovery is not None:
                self._on_recovery(self._operation)
