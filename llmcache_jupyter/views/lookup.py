"""What is cached for a prompt: the entries in full, or that it is a miss."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmcache_jupyter.caches import Entry
from llmcache_jupyter.views.entry_view import entry_html, entry_text
from llmcache_jupyter.views.format import count, short
from llmcache_jupyter.views.style import safe, styled, visible

SHOWN = 5


class LookupView:
    """What `%llmcache lookup` found."""

    def __init__(
        self, prompt: str, entries: Sequence[Entry], cell_label: Callable[[str | None], str | None]
    ) -> None:
        self.prompt = prompt
        self.entries = list(entries)
        self._cell_label = cell_label

    @property
    def headline(self) -> str:
        """Whether it is a hit, and of how many entries."""
        asked = f"“{short(self.prompt, 80)}”"
        if not self.entries:
            return f"Miss: nothing is cached for {asked}. `%llmcache entries WORD` searches all entries."
        rest = f", the newest {SHOWN} of them" if len(self.entries) > SHOWN else ""
        return f"Hit: {count(len(self.entries), 'entry', 'entries')} for {asked}{rest}"

    def __repr__(self) -> str:
        shown = (entry_text(entry, cell_label=self._cell_label) for entry in self.entries[:SHOWN])
        return "\n\n".join([visible(self.headline), *shown])

    def _repr_html_(self) -> str:
        shown = (entry_html(entry, cell_label=self._cell_label) for entry in self.entries[:SHOWN])
        return styled("", f"<strong>{safe(self.headline)}</strong>{''.join(shown)}")
