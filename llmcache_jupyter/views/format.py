"""Figures as people read them. Unknown is a dash, never 0."""

from __future__ import annotations

UNKNOWN = "\u2013"


def seconds(value: float | None) -> str:
    """A duration: `0.24 ms`, `30 ms`, `0.8 s`, `42 s`, `12 min`, `3.5 h`, `2.1 d`."""
    if value is None:
        return UNKNOWN
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if value >= 2 * size:
            return f"{value / size:.3g} {unit}"
    if 0 < value < 0.05:
        return f"{value * 1000:.2f} ms" if value < 0.001 else f"{value * 1000:.0f} ms"
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"


def number(value: int | None) -> str:
    """A whole number with thin thousands: `12 500`."""
    return UNKNOWN if value is None else f"{value:,}".replace(",", "\u202f")


def rate(value: float | None) -> str:
    """A share of calls: `75 %`. Only all of them are `100 %`, and only none are `0 %`."""
    if value is None:
        return UNKNOWN
    percent = round(100 * value)
    return f"{min(max(percent, 1), 99) if 0 < value < 1 else percent} %"


def count(value: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 hit`, `2 hits`, `3 misses`."""
    return f"{number(value)} {noun if value == 1 else plural or noun + 's'}"


def short(text: str, width: int) -> str:
    """The text on one line, cut to `width` characters with an ellipsis."""
    line = " ".join(text[: 4 * width + 100].split())
    return line if len(line) <= width and len(text) <= 4 * width + 100 else line[: width - 1].rstrip() + "…"
