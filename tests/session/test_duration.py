"""Durations as people write them."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcache_jupyter.errors import InvalidSettingError
from llmcache_jupyter.session.duration import seconds

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        ("90s", 90), ("15m", 900), ("1h", 3600), ("7d", 604800), ("2w", 1209600), ("1h30m", 5400), ("30", 30),
        ("1.5h", 5400), (" 1 h ", 3600), ("1H", 3600), ("1h 30m", 5400), ("1d 2h 3m 4s", 93784), ("0.5", 0.5),
        (5, 5), (2.5, 2.5), (timedelta(minutes=2), 120),
    ],
)  # fmt: skip
def test_what_is_a_duration(duration: Any, expected: float) -> None:
    assert seconds(duration) == expected


@pytest.mark.parametrize(
    "duration",
    [
        "", " ", "h", "1x", "many", "-1h", "1h-", "1..5h", "1,5h", "1h!", "0", "0s", "inf", "nan", "1e3",
        "١x", 0, -1, float("nan"), float("inf"), timedelta(0), timedelta(seconds=-1), "9" * 400,
    ],
)  # fmt: skip
def test_what_is_none(duration: Any) -> None:
    with pytest.raises(InvalidSettingError, match=r"write 90s, 15m, 1h"):
        seconds(duration)


def test_a_long_mistake_is_told_at_once() -> None:
    """Digits could be split into parts in more ways than there is time."""
    with pytest.raises(InvalidSettingError):
        seconds("1" * 5_000 + "x")
    with pytest.raises(InvalidSettingError):
        seconds("1 " * 5_000 + "x")


PARTS = st.lists(st.tuples(st.integers(1, 10**6), st.sampled_from(list(UNITS))), min_size=1)


@given(PARTS, st.sampled_from(["", " "]))
def test_parts_add_up(parts: list[tuple[int, str]], between: str) -> None:
    text = between.join(f"{number}{unit}" for number, unit in parts)
    assert seconds(text) == sum(number * UNITS[unit] for number, unit in parts)


@given(st.text())
def test_any_text_is_a_duration_or_one_error(text: str) -> None:
    with contextlib.suppress(InvalidSettingError):
        assert seconds(text) > 0
