"""`%llmcache` and `%%llmcache`: parse, call the session, show. And what loads and unloads them."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary, WeakSet

import traitlets
from IPython.core.error import UsageError
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.utils.text import DollarFormatter

from llmcache_jupyter.caches import Query
from llmcache_jupyter.caches.entry import SortColumn
from llmcache_jupyter.caches.limits import POLICIES
from llmcache_jupyter.errors import InvalidSettingError, LLMCacheError, StoreError
from llmcache_jupyter.notebook.arguments import HELP, joined, parse, unknown
from llmcache_jupyter.notebook.cells import CELL_OPTION, Cells
from llmcache_jupyter.notebook.channel import Channel
from llmcache_jupyter.notebook.completion import Completer
from llmcache_jupyter.notebook.progress import progress_bar
from llmcache_jupyter.notebook.questions import Question
from llmcache_jupyter.session.duration import seconds
from llmcache_jupyter.session.events import Event, Switched
from llmcache_jupyter.session.missed import MissedCall
from llmcache_jupyter.session.progress import quietly
from llmcache_jupyter.session.replay import caught_error, unanswered_text
from llmcache_jupyter.session.scope import MODES, CellRun, Mode, check_mode
from llmcache_jupyter.session.session import Activation, Session, default_session
from llmcache_jupyter.session.stores import check_store
from llmcache_jupyter.views.explanation import ExplanationView
from llmcache_jupyter.views.format import count
from llmcache_jupyter.views.recording import loaded_text, saved_text
from llmcache_jupyter.views.report import ReportView, report_line
from llmcache_jupyter.views.status import StatusView, activation_line
from llmcache_jupyter.views.table import SORTED_UPWARD

SETTINGS = ("maxsize", "policy", "ttl", "mode", "store")


@magics_class
class LLMCacheMagics(Magics):
    """`%llmcache` and `%%llmcache`.

    The settings are the session's own: changing either changes the other, on or off.
    """

    maxsize = traitlets.Int(None, allow_none=True, min=1, help="Entries at most; None is no maximum.").tag(
        config=True
    )
    policy = traitlets.Enum(
        POLICIES, "fifo", help="Over the maximum, the entry stored (fifo) or used (lru) longest ago goes."
    ).tag(config=True)
    ttl = traitlets.Union(
        [traitlets.Float(), traitlets.Unicode()],
        default_value=None,
        allow_none=True,
        help="How long an entry lives: seconds, or '90s', '1h', '7d'; None is for ever.",
    ).tag(config=True)
    mode = traitlets.Enum(MODES, "on", help="The mode where no cell or block sets another.").tag(config=True)
    store = traitlets.Unicode(
        None, allow_none=True, help="Where entries outlive the kernel: a file's name or a redis:// address."
    ).tag(config=True)
    load = traitlets.Unicode(
        None, allow_none=True, help="A file of saved entries that the next `%llmcache on` loads."
    ).tag(config=True)
    autostart = traitlets.Bool(False, help="Switch the cache on when the extension is loaded.").tag(
        config=True
    )
    replay_only = traitlets.Bool(
        False, help="Switch the cache on for good: whatever a notebook says, nothing is sent. For CI."
    ).tag(config=True)
    report = traitlets.Enum(
        ("never", "cell"), "never", help="'cell' prints a line after each cell that called a model."
    ).tag(config=True)

    def __init__(self, shell: InteractiveShell, session: Session) -> None:
        self.session = session  # first: what is configured is checked with it
        super().__init__(shell)
        self.cells = Cells(shell, self.cell_ended)
        self._loaded: str | None = None
        configured = self.config.get(type(self).__name__, {})
        session.configure(**{name: getattr(self, name) for name in SETTINGS if name in configured})
        self._show_settings()
        self.observe(self._setting_changed, SETTINGS)

    @traitlets.validate("ttl")
    def _check_ttl(self, proposal: dict[str, Any]) -> float | None:
        try:
            return None if proposal["value"] is None else seconds(proposal["value"])
        except LLMCacheError as error:
            raise traitlets.TraitError(f"ttl: {error}") from None

    @traitlets.validate("store")
    def _check_store(self, proposal: dict[str, Any]) -> str | None:
        name: str | None = proposal["value"]
        try:
            if name is not None and name != self.session.status().store:
                check_store(name)
        except LLMCacheError as error:
            raise traitlets.TraitError(f"store: {error}") from None
        return name

    @traitlets.observe("replay_only")
    def _restrict_to_replay(self, change: dict[str, Any]) -> None:
        if change["new"]:
            self.session.restrict_to_replay()

    def _setting_changed(self, change: dict[str, Any]) -> None:
        name, value = change["name"], change["new"]
        if value != getattr(self.session.status(), name):
            self.session.configure(**{name: value})

    def _show_settings(self) -> None:
        status = self.session.status()
        for name in SETTINGS:
            setattr(self, name, getattr(status, name))

    def happened(self, event: Event) -> None:
        """Follow the session's settings. Meant as a subscriber."""
        if isinstance(event, Switched):
            self._show_settings()

    def cell_ended(self, run: CellRun, result: ExecutionResult | None) -> None:
        """Print what became of the cell's calls, where its first line or the setting asks for it.

        - And which of them mode replay did not answer: all, where the cell failed at the first of several, or
          went on without.
        """
        if run.outer is None and result is not None and (calls := self.session.unanswered(run)):
            self._tell_unanswered(calls, result)
        own_mode = run.mode if run.outer is None or run.mode != run.outer.mode else None
        if own_mode is not None and not self.cells.was_planned(run):
            print(f"llmcache {own_mode}: {report_line(run.counts)}")
        elif self.report == "cell" and run.outer is None and run.events:
            print(f"llmcache: {report_line(run.counts)}")

    def _tell_unanswered(self, calls: list[MissedCall], result: ExecutionResult) -> None:
        error = caught_error(calls)
        if result.success and self.session.cache.replay_only:
            result.error_in_exec = error  # which is what a kernel replies
            cast(InteractiveShell, self.shell).showtraceback((type(error), error, None))
        elif result.success:
            print(f"llmcache: {error}", file=sys.stderr)
        elif len(calls) > 1:
            print(f"llmcache: {unanswered_text(calls)}", file=sys.stderr)

    @no_var_expand
    @line_cell_magic
    def llmcache(self, line: str, cell: str | None = None) -> Any:
        try:
            if cell is not None:
                return self._run_cell(line, cell)
            if line.startswith(CELL_OPTION):
                return self._set_cell_mode(line.removeprefix(CELL_OPTION))
            options = parse(line)
            command: Callable[[Namespace], Any] = getattr(self, f"_{options.command}")
            return command(options)
        except LLMCacheError as error:
            raise UsageError(str(error)) from None

    llmcache.__doc__ = HELP  # what `%llmcache?` shows

    def _status(self, _options: Namespace) -> StatusView:
        return StatusView(self.session.status())

    def _on(self, options: Namespace) -> None:
        settings = {name: getattr(options, name) for name in SETTINGS}
        settings["store"] = self._named_store(options.store)
        activation = self.activate(load=options.load and self._file(options.load), **settings)
        status = self.session.status()
        print(activation_line(status, activation))
        if isinstance(options.maxsize, int) and status.maxsize is None:
            print("  ! The store has no maximum: `--maxsize` holds for what this kernel has in memory.")
        if activation.loaded:
            print(loaded_text(activation.loaded))
        if (configured := self._configured_load) is not None:
            print(loaded_text(self.session.load(configured)))
            self._loaded = configured

    def activate(self, *, load: str | None = None, **settings: Any) -> Activation:
        """Switch the session on, with the file loaded that is named here or, once, in the setting."""
        file = load or self._configured_load
        activation = self.session.activate(load=file, **settings)
        if file == self.load:
            self._loaded = file
        return activation

    @property
    def _configured_load(self) -> str | None:
        """The file that the setting names, until it is loaded."""
        return None if self.load == self._loaded else self.load

    def _file(self, name: str) -> str:
        """The name of a file, with the notebook's variables in it: `$name` and `{name}`."""
        if _exists(name) or "://" in name:
            return name
        variables = self._variables
        try:
            return DollarFormatter().vformat(name, (), variables.copy())
        except Exception:  # to IPython, `$name.sqlite` is what the variable has by the name `sqlite`
            return re.sub(r"\$(\w+)", lambda found: str(variables.get(found[1], found[0])), name)

    @property
    def _variables(self) -> dict[str, Any]:
        return cast(dict[str, Any], cast(InteractiveShell, self.shell).user_ns)

    def _named_store(self, name: Any) -> Any:
        """The variable of this name, or the name itself: that of a file, or an address."""
        if not isinstance(name, str):
            return name
        name = self._file(name)
        if not name.isidentifier() or _exists(name):
            return name
        variables = self._variables
        if name not in variables:
            raise UsageError(
                f"There is neither a variable nor a file {name!r}: for a new file write "
                f"`%llmcache on --store {name}.sqlite`."
            )
        return variables[name]

    def _off(self, _options: Namespace) -> None:
        self.session.deactivate()
        if self.session.active:
            print("LLM cache on, as before: the configuration has it replay only")
            return
        entries = self.session.status().entries
        kept = f" · {_counted(entries)} kept" if entries else ""
        print(f"LLM cache off{kept}")

    def _save(self, options: Namespace) -> None:
        self._check_model(options.model)
        path = self._file(options.path)
        saved = self.session.save(
            path, model=options.model, used=options.used, cell=options.cell, add=options.add
        )
        print(saved_text(saved))

    def _load(self, options: Namespace) -> None:
        print(loaded_text(self.session.load(self._file(options.path))))

    def _clear(self, options: Namespace) -> None:
        self._check_model(options.model)
        count = self.session.clear(model=options.model, older_than=options.older_than, shared=options.shared)
        print(f"{_counted(count)} cleared")

    def _entries(self, options: Namespace) -> Any:
        from llmcache_jupyter.views.frames import entries_frame

        self._check_model(options.model)
        sort = cast(SortColumn, options.sort.replace("-", "_"))
        query = Query(
            text=joined(options.text) or None,
            model=options.model,
            sort=sort,
            descending=sort not in SORTED_UPWARD,
            limit=options.limit,
        )
        found = self.session.entries(query).entries
        return entries_frame(found, cell_label=self.session.cell_label, full=options.full)

    def _lookup(self, options: Namespace) -> Any:
        from llmcache_jupyter.views.lookup import LookupView

        self._check_model(options.model)
        prompt = joined(options.prompt)
        found = self.session.lookup(prompt, options.model)
        return LookupView(prompt, found, cell_label=self.session.cell_label)

    def _delete(self, options: Namespace) -> None:
        print(f"{_counted(self.session.delete(*options.ids))} deleted")

    def _stats(self, _options: Namespace) -> Any:
        from llmcache_jupyter.views.frames import stats_frame

        return stats_frame(self.session.cache.statistics.by_model(), self.session.models())

    def _last(self, _options: Namespace) -> ReportView:
        return ReportView(self.session.last_run())

    def _why(self, options: Namespace) -> ExplanationView:
        explanation = self.session.why(joined(options.what) or None)
        return ExplanationView(explanation, cell_label=self.session.cell_label)

    def _panel(self, options: Namespace) -> Any:
        from llmcache_jupyter.notebook.panel import Panel, static_panel

        # a terminal shows no widgets: only a kernel has the comms that they need
        static = options.static or not hasattr(self.shell, "kernel")
        return static_panel(self.session) if static else Panel(self.session)

    def _help(self, _options: Namespace) -> None:
        print(HELP)

    def _check_model(self, model: str | None) -> None:
        if model is None:
            return
        known = {*self.session.models(), *self.session.cache.statistics.by_model()} - {None}
        if known and model not in known:
            raise UsageError(f"There is no model {model!r} here, only {', '.join(sorted(map(str, known)))}.")

    def _run_cell(self, line: str, cell: str) -> None:
        """The cell magic proper, for code that calls one: in a cell, the input transformer comes first."""
        self._checked_mode(line)
        cast(InteractiveShell, self.shell).run_cell(f"%%llmcache {line}\n{cell}")

    def _set_cell_mode(self, line: str) -> None:
        self.cells.set_mode(self._checked_mode(line))

    def _checked_mode(self, line: str) -> Mode:
        name = line.partition("#")[0].strip()
        first_line = f"`%%llmcache {'|'.join(MODES)}`"
        if not name:
            raise UsageError(f"Name the mode of this cell: {first_line}.")
        if name not in MODES:
            raise UsageError(unknown("mode", name, MODES, f"A cell begins with {first_line}."))
        if not self.session.active and name != "off":
            raise UsageError("The LLM cache is off: run `%llmcache on` first.")
        return check_mode(name)


def _counted(number: int) -> str:
    return count(number, "entry", "entries")


class _Extension:
    """What `%load_ext` brings into a shell, and `%unload_ext` takes out again."""

    def __init__(self, shell: InteractiveShell, session: Session) -> None:
        self._shell = shell
        self.session = session
        self._magics = LLMCacheMagics(shell, session)  # adds itself to the shell's configurables
        self._match = Completer(session).match
        shell.register_magics(self._magics)
        shell.Completer.custom_matchers.append(self._match)
        shell.input_transformer_manager.token_transformers.append(Question)
        self._magics.cells.attach()
        self._unsubscribe = session.subscribe(self._magics.happened)
        session.progress = progress_bar
        # a terminal has no comms
        self.channel = Channel(shell, session, self._magics.cells.plan) if hasattr(shell, "kernel") else None
        if self.channel is not None:
            self.channel.attach()
        if self._magics.autostart or self._magics.replay_only:
            try:
                self._magics.activate()
            except StoreError as error:  # all else works; and a replay is on, and fails each call
                session.cache.warn(str(error))

    def remove(self) -> None:
        self.session.deactivate()
        self.session.progress = quietly
        self._unsubscribe()
        if self.channel is not None:
            self.channel.detach()
        self._magics.cells.detach()
        self._shell.input_transformer_manager.token_transformers.remove(Question)
        self._shell.Completer.custom_matchers.remove(self._match)
        manager = self._shell.magics_manager
        manager.registry.pop(LLMCacheMagics.__name__, None)
        for kind in ("line", "cell"):
            manager.magics[kind].pop("llmcache", None)
        _forget_settings(self._shell)


_extensions: WeakKeyDictionary[InteractiveShell, _Extension] = WeakKeyDictionary()
_switched_off: WeakSet[InteractiveShell] = WeakSet()
"""Shells from which the extension was taken while the cache was on, as `%reload_ext` does."""


def load(shell: InteractiveShell, session: Session | None = None) -> None:
    """Bring the magics into `shell`. Loading again only tells the front end again that they are there.

    Raises:
        UsageError: a value in `ipython_config.py` cannot be; nothing was changed.
    """
    if shell in _extensions:
        if (channel := _extensions[shell].channel) is not None:
            channel.announce()
        return
    try:
        extension = _extensions[shell] = _Extension(shell, session or default_session())
    except (traitlets.TraitError, InvalidSettingError) as error:
        _forget_settings(shell)
        told = f"{str(error).rstrip('.')}. Correct it in ipython_config.py or by `%config`, and load again."
        if shell.config.LLMCacheMagics.get("replay_only"):
            session = session or default_session()
            session.restrict_to_replay()
            session.cache.missed.note_out_of_reach("settings", told)
        raise UsageError(told) from None
    if shell in _switched_off and not extension.session.active:
        print("The LLM cache is off since it was unloaded: `%llmcache on` goes on with its entries.")
    _switched_off.discard(shell)


def unload(shell: InteractiveShell) -> None:
    """Take the magics out of `shell`, and bring back what was there before."""
    extension = _extensions.pop(shell, None)
    if extension is not None:
        if extension.session.active:
            _switched_off.add(shell)
        extension.remove()


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # a name that no file can have, or a folder that may not be looked into
        return False


def _forget_settings(shell: InteractiveShell) -> None:
    ours = {id(one) for one in shell.configurables if type(one).__name__ == LLMCacheMagics.__name__}
    shell.configurables[:] = [one for one in shell.configurables if id(one) not in ours]
