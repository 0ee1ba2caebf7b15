"""WideFrame: a DataFrame whose texts are shown whole. Imports pandas, so it is imported where it is used."""

from __future__ import annotations

import pandas as pd

from llmcache_jupyter.views.style import visible


class WideFrame(pd.DataFrame):
    """A DataFrame that a notebook shows with whole texts, where pandas would cut them at 50 characters.

    - Controls in a text that would break what is around it are shown as escapes; the data is as it is.
    """

    @property
    def _constructor(self) -> type[WideFrame]:
        return WideFrame

    def _repr_html_(self) -> str | None:
        with pd.option_context("display.max_colwidth", None):
            html = super()._repr_html_()  # type: ignore[misc]
        return html and visible(html)

    def __repr__(self) -> str:
        return visible(super().__repr__())
