"""Which cell a call belongs to, and the mode of a single cell: `%%llmcache refresh` as its first line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError
from IPython.core.inputtransformer2 import cell_magic
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

from llmcache_jupyter.session.scope import CellRun, Mode, current_run, end_run, start_run

CELL_OPTION = "--cell"
_FIRST_LINE = re.compile(r"%%llmcache(?:[ \t]+(?P<mode>.*))?$")


class Cells:
    """Tells the session which cell runs.

    - Only `pre_run_cell` and `post_run_cell` delimit a cell: `pre_execute` fires for widget messages too.
    - Cells run by a cell (`%%capture`, `%run other.ipynb`) belong to it, each with a mode of its own.
    - `ended` is called with each run as it ends, and with IPython's result of it.
    """

    def __init__(
        self, shell: InteractiveShell, ended: Callable[[CellRun, ExecutionResult | None], None]
    ) -> None:
        self._shell = shell
        self._ended = ended
        self._runs: list[CellRun] = []
        self._planned: dict[str, Mode] = {}
        self._planned_run: CellRun | None = None

    def plan(self, cell: str, mode: Mode) -> None:
        """Have the next run of this cell made in `mode`, without a first line that says so."""
        self._planned[cell] = mode

    def was_planned(self, run: CellRun) -> bool:
        """Whether the mode of this run is that of a plan."""
        return run is self._planned_run

    def attach(self) -> None:
        """Follow the shell's cells, from the running one on, and understand `%%llmcache` as a first line."""
        running = getattr(self._shell.displayhook, "exec_result", None)
        if running is not None:
            self._begin(running.info)
        self._shell.events.register("pre_run_cell", self._begin)
        self._shell.events.register("post_run_cell", self._end)
        self._transforms.insert(self._transforms.index(cell_magic), cell_mode)

    def detach(self) -> None:
        """Stop that."""
        self._shell.events.unregister("pre_run_cell", self._begin)
        self._shell.events.unregister("post_run_cell", self._end)
        self._transforms.remove(cell_mode)
        self._runs.clear()
        end_run()

    @property
    def _transforms(self) -> list[Any]:
        transforms: list[Any] = self._shell.input_transformer_manager.line_transforms
        return transforms

    def set_mode(self, mode: Mode) -> None:
        """Set the mode of the cell that runs.

        Raises:
            UsageError: none runs.
        """
        run = current_run()
        if run is None:
            raise UsageError("`%%llmcache` needs a cell. In other code, write `with llmcache.mode(...)`.")
        running = self._shell.displayhook.exec_result
        if running is not None and running.info.silent:  # a cell of a notebook that `%run` runs
            self._restore_when_executed(run, run.mode)
        run.mode = mode

    def _restore_when_executed(self, run: CellRun, mode: Mode | None) -> None:
        def restore() -> None:
            self._shell.events.unregister("post_execute", restore)
            run.mode = mode

        self._shell.events.register("post_execute", restore)

    def _begin(self, info: Any) -> None:
        if self._runs:
            outer = self._runs[-1]
            run = CellRun(outer.id, outer.label, mode=outer.mode, outer=outer)
        else:
            # right in every IPython: some raise the execution count before this event, some after it
            label = f"[{self._shell.displayhook.prompt_count}]"
            cell = getattr(info, "cell_id", None) or label
            run = CellRun(cell, label, mode=self._planned.pop(cell, None))
            self._planned_run = run if run.mode else None
        self._runs.append(run)
        start_run(run)

    def _end(self, result: ExecutionResult | None) -> None:
        # an empty cell ends without having begun, as does the one that loaded the extension
        if not self._runs or (result is not None and result.info and not result.info.raw_cell.strip()):
            return
        run = self._runs.pop()
        if run.outer is None:
            end_run()
        else:
            start_run(run.outer)
        self._ended(run, result)


def cell_mode(lines: list[str]) -> list[str]:
    """Input transformer: `%%llmcache MODE` becomes a call that sets the mode, and the cell stays a cell.

    - The body of a cell magic is run by the magic, where top-level `await` does not work. A call in place of
      the first line lets it, and keeps the line numbers.
    - Another cell magic below takes the rest of the cell.
    """
    first = _FIRST_LINE.match(lines[0].rstrip()) if lines else None
    if first is None:
        return lines
    argument = f"{CELL_OPTION} {first['mode'] or ''}"
    call = f"get_ipython().run_line_magic('llmcache', {argument!r})\n"
    code = (at for at, line in enumerate(lines) if at and line.strip() and not line.lstrip().startswith("#"))
    body = next(code, len(lines))
    if body < len(lines) and re.match(r"from __future__ import [\w, ]+$", lines[body]):
        # Python wants these before anything else
        return ["\n", *lines[1:body], f"{lines[body].rstrip()}; {call}", *lines[body + 1 :]]
    return [call, *lines[1:body], *cell_magic(cell_mode(lines[body:]))]
