"""A field of what a store holds: text as bytes that come back the same, and moments.

What is read of one may be hostile: any value of any type.
"""

from __future__ import annotations

from typing import Any

# The end of 9999 but two days: some time zones are ahead, and Python looks a day further for their offset
LATEST = 253_402_128_000.0


def to_bytes(text: str) -> bytes:
    """The text as it is kept when it must come back the same, lone surrogates included."""
    return text.encode("utf-8", "surrogatepass")


def shown(value: Any) -> str:
    """What a store holds in place of text, as text."""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""


def seconds(value: Any) -> float | None:
    """A moment or a duration, if the value can be one, in seconds."""
    return value if isinstance(value, float) and 0 <= value <= LATEST else None
