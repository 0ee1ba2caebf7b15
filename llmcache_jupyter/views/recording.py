"""What a save wrote and what a load brought, as text: a line, and one for each thing to know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from llmcache_jupyter.views.format import count
from llmcache_jupyter.views.style import visible

if TYPE_CHECKING:
    from llmcache_jupyter.session.recording import Loaded, Saved


def saved_text(saved: Saved) -> str:
    """What a save wrote, and what it could not."""
    notes = []
    if saved.redacted:
        notes.append(
            f"{count(saved.redacted, 'entry', 'entries')} cannot be replayed: what looks like a credential "
            f"was taken out ({_some(saved.redacted_ids, saved.redacted)})."
        )
    for why, number in saved.unwritable.items():
        notes.append(f"{count(number, 'entry', 'entries')} could not be written: {why}.")
    if saved.bound:
        they = "answers" if saved.bound == 1 else "answer"
        notes.append(
            f"{count(saved.bound, 'entry', 'entries')} {they} in this kernel alone: asked with an object "
            "that no data tells from others."
        )
    if saved.dropped:
        were = "was" if saved.dropped == 1 else "were"
        notes.append(
            f"{count(saved.dropped, 'entry', 'entries')} that {were} in the file {were} not written again: "
            "`--add` keeps what is there."
        )
    if saved.gone:
        were = "was used and is" if saved.gone == 1 else "were used and are"
        notes.append(f"{count(saved.gone, 'entry', 'entries')} {were} no longer in the cache.")
    return _text([f"{count(saved.entries, 'entry', 'entries')} saved to {saved.path}"], notes)


def _some(ids: Sequence[str], number: int) -> str:
    shown = ids[:3]
    return ", ".join([*shown, *(["…"] if number > len(shown) else [])])


def loaded_text(loaded: Loaded) -> str:
    """What a load brought, what of it was left out, and which lines were bad."""
    found = loaded.recording
    parts = [f"{count(loaded.entries, 'entry', 'entries')} loaded from {found.path}"]
    if loaded.known:
        parts.append(f"{count(loaded.known, 'entry was', 'entries were')} there already")
    if loaded.expired:
        parts.append(f"{count(loaded.expired, 'is', 'are')} older than entries live")
    if loaded.evicted:
        parts.append(f"{count(loaded.evicted, 'entry', 'entries')} had to go: that is the maximum")
    notes = []
    if found.redacted:
        notes.append(
            f"{count(found.redacted, 'entry was', 'entries were')} left out: a credential was taken out at "
            "the save."
        )
    notes += [f"line {number}: {why}" for number, why in found.reasons.items()]
    if found.bad > len(found.reasons):
        notes.append(f"and {count(found.bad - len(found.reasons), 'more bad line')}")
    return _text(parts, notes)


def _text(parts: Iterable[str], notes: Iterable[str]) -> str:
    return "\n".join(map(visible, [" · ".join(parts), *(f"  ! {note}" for note in notes)]))
