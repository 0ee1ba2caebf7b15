"""Figures as people read them."""

from __future__ import annotations

import pytest

from llmcache_jupyter.views.format import count, number, rate, seconds, short


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0.0, "0.0 s"),
        (0.00001, "0.01 ms"),
        (0.00024, "0.24 ms"),
        (0.03, "30 ms"),
        (0.05, "0.1 s"),
        (3.14, "3.1 s"),
        (42.4, "42 s"),
        (119, "119 s"),
        (720, "12 min"),
        (12_600, "3.5 h"),
        (259_200, "3 d"),
    ],
)
def test_a_duration_is_in_the_unit_people_would_use(value: float | None, shown: str) -> None:
    assert seconds(value) == shown


def test_unknown_is_a_dash_and_zero_is_zero() -> None:
    assert (number(None), rate(None)) == ("–", "–")
    assert (number(0), rate(0.0)) == ("0", "0 %")


def test_only_all_of_them_are_100_percent() -> None:
    assert [rate(share) for share in (1.0, 0.999, 0.75, 0.001)] == ["100 %", "99 %", "75 %", "1 %"]


def test_numbers_and_nouns_agree() -> None:
    assert number(1_234_567) == "1\u202f234\u202f567"
    assert [count(n, "miss", "misses") for n in (0, 1, 2)] == ["0 misses", "1 miss", "2 misses"]
    assert count(2, "hit") == "2 hits"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("brief", "brief"),
        ("two\n  lines", "two lines"),
        ("just eleven", "just eleven"),
        ("just twelve.", "just twelv…"),
        ("x" * 1_000_000, "x" * 10 + "…"),
        (" " * 1_000_000 + "late", "…"),
        ("", ""),
    ],
)
def test_a_short_text_is_one_line_of_the_width_at_most(text: str, shown: str) -> None:
    assert short(text, 11) == shown
