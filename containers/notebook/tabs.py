"""Open tabs, which save what they hold before the server ends.

The extension in each tab keeps a WebSocket to ``/ipylti/tab``. Whoever is about to end the server posts to
``/ipylti/save-all``: every tab is asked to save its documents, and the answer comes when all have.
"""

import asyncio
import json
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.websocket import WebSocketClosedError, WebSocketHandler

#: Seconds for a tab to save its documents: the extension gives up after as many.
TIMEOUT = 8.0

_tabs: set["TabHandler"] = set()


class TabHandler(WebSocketMixin, WebSocketHandler, JupyterHandler):  # type: ignore[misc]
    """One tab's end of the line. What goes over it is no activity of anybody's."""

    auth_resource = "contents"
    _saved: asyncio.Future[list[str]] | None = None

    async def get(self) -> None:
        """Open the WebSocket for whoever has the token."""
        if self.current_user is None:
            raise web.HTTPError(403)
        await super().get()

    def open(self) -> None:
        """See Tornado's WebSocketHandler."""
        super().open()
        _tabs.add(self)

    def on_message(self, message: str | bytes) -> None:
        """Take a tab's word for what it could not save."""
        try:
            unsaved = [str(path) for path in json.loads(message)["unsaved"]]
        except (ValueError, KeyError, TypeError):
            return
        if self._saved is not None and not self._saved.done():
            self._saved.set_result(unsaved)

    def on_close(self) -> None:
        """See Tornado's WebSocketHandler."""
        _tabs.discard(self)
        if self._saved is not None and not self._saved.done():
            self._saved.set_result([])
        super().on_close()

    async def save_all(self) -> list[str] | None:
        """Have the tab save its documents; return the paths of what it could not, None if it says nothing."""
        self._saved = asyncio.get_running_loop().create_future()
        try:
            await self.write_message(json.dumps({"type": "ipylti.save-all"}))
            return await asyncio.wait_for(self._saved, TIMEOUT)
        except (WebSocketClosedError, TimeoutError):
            return None


class SaveAllHandler(JupyterHandler):  # type: ignore[misc]
    """Has all tabs save their documents."""

    auth_resource = "contents"

    @web.authenticated
    async def post(self) -> None:
        """Answer with the number of tabs, of those that said nothing, and what could not be saved."""
        told = await asyncio.gather(*(tab.save_all() for tab in list(_tabs)))
        unsaved = sorted({path for paths in told if paths for path in paths})
        self.finish({"tabs": len(told), "silent": told.count(None), "unsaved": unsaved})


def add_to(server: Any) -> None:
    """Add both to a server."""
    server.web_app.add_handlers(
        ".*$",
        [
            (url_path_join(server.base_url, "ipylti", "tab"), TabHandler),
            (url_path_join(server.base_url, "ipylti", "save-all"), SaveAllHandler),
        ],
    )
