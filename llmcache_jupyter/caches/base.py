"""BaseCache: the interface for a caching layer for LLMs and chat models.

The contract is that of `langchain_core.caches.BaseCache`, so that what a user knows carries over.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class BaseCache(ABC):
    """Interface for a caching layer for LLMs and chat models.

    - A key is the pair `(prompt, llm_string)`. Two different pairs never share a value.
    - A value is a non-empty list of generations.
    - Every method has an async twin; by default that is the synchronous method in an executor.
    """

    @abstractmethod
    def lookup(self, prompt: str, llm_string: str) -> list[Any] | None:
        """The value stored for this key, or None on a miss.

        - A hit is a `list`, never a tuple (LangChain takes anything but a list for a miss) and never
          empty (LangChain crashes on an empty one).

        Args:
            prompt: the serialised prompt; of a chat model, its serialised messages.
            llm_string: the serialised model configuration: model name, temperature, stop words, tools.
        """

    @abstractmethod
    def update(self, prompt: str, llm_string: str, return_val: Sequence[Any]) -> None:
        """Store `return_val`, a list of generations, under the key that `lookup` takes.

        - An empty value is not stored.
        - A value stored earlier under the same key is replaced.
        """

    @abstractmethod
    def clear(self, **kwargs: Any) -> None:
        """Remove what is stored. What the keyword arguments mean is up to the cache."""

    async def alookup(self, prompt: str, llm_string: str) -> list[Any] | None:
        """`lookup`, without blocking the event loop."""
        return await run_in_executor(self.lookup, prompt, llm_string)

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Any]) -> None:
        """`update`, without blocking the event loop."""
        await run_in_executor(self.update, prompt, llm_string, return_val)

    async def aclear(self, **kwargs: Any) -> None:
        """`clear`, without blocking the event loop."""
        await run_in_executor(self.clear, **kwargs)


async def run_in_executor(function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """What `function` returns, run on a thread with the caller's context variables."""
    context = contextvars.copy_context()
    call = functools.partial(context.run, function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(None, call)
