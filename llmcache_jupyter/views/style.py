"""How everything that is shown as HTML looks: in JupyterLab's own colours, elsewhere in readable ones."""

from __future__ import annotations

from html import escape

# what would reverse, hide or break the text around it is shown as the code point's name
_UNSEEN = {code: f"\\x{code:02x}" for code in range(32) if chr(code) not in "\t\n\r"}
_UNSEEN |= {code: f"\\u{code:04x}" for code in (0x7F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}

CSS = """
.llmcache { color: var(--jp-ui-font-color1, inherit); font-family: var(--jp-ui-font-family, sans-serif);
  font-size: var(--jp-ui-font-size1, 13px); line-height: 1.5; }
.llmcache-muted { color: var(--jp-ui-font-color2, #757575); }
.llmcache-warn { color: var(--jp-warn-color0, #b45309); }
.llmcache-error { color: var(--jp-error-color1, #c62828); }
.llmcache-mono { font-family: var(--jp-code-font-family, monospace);
  font-size: var(--jp-code-font-size, 13px); }
"""


def visible(text: object) -> str:
    """The text with controls, lone surrogates and what would turn text around as escapes that can be read."""
    return str(text).translate(_UNSEEN).encode("utf-8", "backslashreplace").decode()


def safe(text: object) -> str:
    """The text as HTML that shows it and does nothing else."""
    return escape(visible(text))


def styled(css: str, html: str) -> str:
    """The HTML in a block of its own, with the common look and its own CSS."""
    return f"<style>{CSS}{css}</style><div class='llmcache'>{html}</div>"
