"""What failed on the way to a server, in words that say what to do."""

from __future__ import annotations

import re

from llmcache_jupyter.errors import StoreError

_NO_USER = re.compile("NOAUTH|unauthenticated")


def store_error(error: Exception, name: str, timeout: float) -> StoreError:
    """The error for the user. It holds no credentials: redis-py's own texts have none."""
    what = _what(error, timeout)
    return StoreError(f"{name} {what}" + "." * (not what.endswith("?")))


def is_answer(error: Exception) -> bool:
    """Whether the server itself said so: its connection is sound."""
    from redis.exceptions import ResponseError

    return isinstance(error, ResponseError)


def _what(error: Exception, timeout: float) -> str:
    from redis import exceptions as redis

    text = str(error)
    if isinstance(error, TimeoutError | redis.TimeoutError):
        return f"did not answer within {timeout:g} s: is it up? `?timeout=2` in the address waits longer"
    if isinstance(error, redis.AuthenticationError | redis.NoPermissionError) or _NO_USER.search(text):
        return f"refuses this user ({text}): check the name and password in the address"
    if text.startswith("OOM") or isinstance(error, redis.OutOfMemoryError):
        return f"is out of memory ({text}): clear old entries, or raise its maxmemory"
    if isinstance(error, redis.ReadOnlyError):
        return f"is read-only ({text}): name the primary server"
    return _else(error, text)


def _else(error: Exception, text: str) -> str:
    from redis.exceptions import ConnectionError as NoConnection

    if "WRONGTYPE" in text:
        return f"has other things under these names ({text}): use another namespace"
    if isinstance(error, NoConnection | OSError):
        return f"cannot be reached ({text}): is it up, and is the address right?"
    return f"failed ({type(error).__name__}: {text}): try again, or use another store"
