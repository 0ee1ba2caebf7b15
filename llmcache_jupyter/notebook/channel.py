"""Channel: the kernel's side of the JupyterLab extension. protocol.py has what is said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from comm import create_comm, get_comm_manager
from IPython.core.interactiveshell import InteractiveShell

from llmcache_jupyter.caches.locks import new_lock
from llmcache_jupyter.notebook.background import Background, Throttle
from llmcache_jupyter.notebook.protocol import EVENTS, QUERIES, State, error_reply, state_message
from llmcache_jupyter.notebook.queries import Queries
from llmcache_jupyter.notebook.tallies import Tallies
from llmcache_jupyter.session.events import Cleared, Event, Hit, Stored, Switched, logger
from llmcache_jupyter.session.scope import Mode, current_run
from llmcache_jupyter.session.session import Session
from llmcache_jupyter.views.style import visible

PUSH_PAUSE = 0.25


class Channel:
    """Tells front ends that know the extension what the session does, and answers their queries.

    - A front end that knows nothing of it closes the events comm, and that is all; `announce` opens another.
    - A front end that comes later, as after a page's reload, finds the events comm in the kernel's list of
      comms, and asks for the state by a query.
    - `plan` has a cell's next run made in a mode.
    """

    def __init__(
        self,
        shell: InteractiveShell,
        session: Session,
        plan: Callable[[str, Mode], None],
        *,
        open_comm: Callable[..., Any] = create_comm,
        targets: Callable[[], Any] = get_comm_manager,
    ) -> None:
        self._shell = shell
        self._open_comm = open_comm
        self._targets = targets
        self._session = session
        self._tallies = Tallies()
        self._queries = Queries(session, self._tallies, state=self._state_and_comm, plan=plan)
        self._asking: WeakSet[Any] = WeakSet()
        self._events: Any = None
        self._changes = 0
        self._lock = new_lock()
        self._background = Background()
        self._push = Throttle(self._background, self._send_state, PUSH_PAUSE)
        self._unsubscribe: Callable[[], None] = lambda: None

    def attach(self) -> None:
        """Be there for front ends, and tell the one that is there."""
        self._targets().register_target(QUERIES, self.opened)
        self._shell.events.register("pre_run_cell", self._cell_begins)
        self._unsubscribe = self._session.subscribe(self._happened)
        self.announce()

    def detach(self) -> None:
        """Go. Front ends see it by their comms closing."""
        self._unsubscribe()
        self._background.cancel()
        self._shell.events.unregister("pre_run_cell", self._cell_begins)
        self._targets().unregister_target(QUERIES, self.opened)
        with self._lock:
            closing, self._events = [*self._asking, self._events], None
        for comm in closing:
            if comm is not None:
                comm.close()

    def announce(self) -> str:
        """Open the events comm where none is open, with the state. Returns its id."""
        with self._lock:
            if self._events is None:
                self._events = self._open_comm(target_name=EVENTS, data=state_message(self.state()))
                self._events.on_close(self._events_closed)
            return str(self._events.comm_id)

    def opened(self, comm: Any, _message: Any = None) -> None:
        """A front end opened a queries comm."""

        def asked(message: dict[str, Any]) -> None:
            data = message["content"]["data"]
            if isinstance(data, dict):
                comm.send(self._queries.answer(data))
            else:
                comm.send(error_reply({}, "request", "A request is an object."))

        # not `on_msg`, which runs IPython's `post_execute` hooks: matplotlib's shows what a cell still draws
        comm.handle_msg = asked
        with self._lock:
            self._asking.add(comm)

    def state(self) -> State:
        """The session and its cells."""
        status = self._session.status()
        counts = status.counts
        return {
            "active": status.active,
            "mode": status.mode,
            "entries": status.entries,
            "maxsize": status.maxsize,
            "hits": counts.hits,
            "misses": counts.misses,
            "seconds_saved": counts.seconds_saved,
            "tokens_saved": counts.tokens_saved,
            "store": None if status.store is None else visible(status.store),
            "shared": self._session.shared_store is not None,
            "failing": self._session.store_failing is not None,
            "notes": [visible(note) for note in status.notes],
            "changes": self._changes,
            "cells": self._tallies.counts(),
        }

    def _state_and_comm(self) -> dict[str, Any]:
        return {"state": self.state(), "comm": self.announce()}

    def _events_closed(self, _message: Any) -> None:
        with self._lock:
            self._events = None

    def _cell_begins(self, info: Any) -> None:
        cell = getattr(info, "cell_id", None)
        if cell is not None and self._tallies.forget(cell):
            self._push.trigger()

    def _happened(self, event: Event) -> None:
        if isinstance(event, Switched):
            self.announce()
        if isinstance(event, Hit | Stored | Cleared | Switched):
            self._changes += 1
        self._tallies.count(current_run(), event)
        self._push.trigger()

    async def _send_state(self) -> None:
        try:
            message = state_message(await asyncio.to_thread(self.state))
            with self._lock:
                if self._events is not None:
                    self._events.send(message)
        except Exception:
            logger.exception("the state could not be pushed")
