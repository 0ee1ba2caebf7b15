"""Durations as people write them: `90s`, `15m`, `1h`, `7d`, `2w`, or a number of seconds."""

from __future__ import annotations

import re
from datetime import timedelta

from llmcache_jupyter.errors import InvalidSettingError

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw]?)")
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?\s*[smhdw]\s*)*(?:\d+(?:\.\d+)?)?")


def seconds(duration: str | float | timedelta) -> float:
    """The duration in seconds. Parts add up: `1h30m`.

    Raises:
        InvalidSettingError: it isn't a duration, or not greater than 0.
    """
    if isinstance(duration, timedelta):
        value = duration.total_seconds()
    elif isinstance(duration, str):
        value = _parse(duration.strip().lower())
    else:
        value = float(duration)
    if not 0 < value < float("inf"):
        raise InvalidSettingError(
            f"A duration must be greater than 0, not {duration!r}: write 90s, 15m, 1h or 7d."
        )
    return value


def _parse(text: str) -> float:
    if not text or not _WHOLE.fullmatch(text):
        raise InvalidSettingError(f"{text!r} is no duration: write 90s, 15m, 1h, 7d or 1h30m.")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
