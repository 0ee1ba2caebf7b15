"""`%llmcache lookup What's up?` asks the cache, where IPython would look for help on `up`."""

from __future__ import annotations

import re
from tokenize import TokenInfo

from IPython.core.inputtransformer2 import EscapedCommand, MagicAssign, TokenTransformBase

# a subcommand and some text; `%llmcache?` and `%llmcache lookup?` do ask for help
_QUESTION = re.compile(r"%llmcache[ \t]+\S+[ \t]+\S.*\?\s*$")


class Question(TokenTransformBase):
    """Token transformer: a `%llmcache` line that ends with `?`, before IPython takes it for help."""

    def __init__(self, command: TokenTransformBase) -> None:
        super().__init__((command.start_line + 1, command.start_col))
        self.start_col = -1  # before those that begin on the same line
        self._command = command

    @classmethod
    def find(cls, tokens_by_line: list[list[TokenInfo]]) -> Question | None:
        """The first such line, as a statement or assigned to a name."""
        for tokens in tokens_by_line:
            for kind in (EscapedCommand, MagicAssign):
                command = kind.find([tokens])
                if command is not None and _QUESTION.match(tokens[0].line[command.start_col :]):
                    return cls(command)
        return None

    def transform(self, lines: list[str]) -> list[str]:
        """The lines with this one as a call of the magic."""
        transformed: list[str] = self._command.transform(lines)
        return transformed
