"""What a campus knows of its tool: what it was told when it was made, and what a tool registered since."""

import threading
from dataclasses import replace
from typing import Any

from .config import Config
from .errors import Refused

#: There is no tool; there is one, but an administrator has to switch it on; there is one.
NONE, PENDING, ACTIVE = "none", "pending", "active"


class Registry:
    """The configuration as it is now; safe to use from several threads.

    :param config: resolved.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._state = ACTIVE if config.registered else NONE
        self._lock = threading.Lock()

    @property
    def config(self) -> Config:
        """The configuration as it is now. Ask anew each time: a registration changes it."""
        with self._lock:
            return self._config

    @property
    def state(self) -> str:
        """One of `none`, `pending`, `active`."""
        with self._lock:
            return self._state

    def register(self, state: str, **values: Any) -> Config:
        """Know another tool from now on; returns the configuration as it is then.

        :param values: fields of :class:`Config`.
        """
        with self._lock:
            self._config = replace(self._config, **values)
            self._state = state
            return self._config

    def activate(self) -> None:
        """Switch the registered tool on.

        :raises Refused: 409 where there is none.
        """
        with self._lock:
            if self._state == NONE:
                raise Refused(409, "no_tool", "no tool is registered, so none can be switched on")
            self._state = ACTIVE

    def require_tool(self) -> None:
        """Ask that there is a tool, and that it is switched on.

        :raises Refused: 409.
        """
        state = self.state
        if state == NONE:
            raise Refused(409, "no_tool", "no tool is registered here yet")
        if state == PENDING:
            raise Refused(409, "no_tool", "the tool waits for the administrator to switch it on")
