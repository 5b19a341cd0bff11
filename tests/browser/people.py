"""People in front of a browser: what they click in campus, on the workbench and in JupyterLab."""

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Frame,
    FrameLocator,
    Locator,
    Page,
    WebError,
    WebSocket,
    expect,
)

from tests.campus.course import Link

#: Milliseconds for JupyterLab's scripts on a busy machine.
LOADED = 120_000

#: Milliseconds for everything else: a click on a busy machine, a submission that is copied and told.
SOON = 60_000

#: What marks the tab of a document with changes that are not saved.
UNSAVED = "jp-mod-dirty"

#: Notes what our pages tell screen readers, and which steps of a start they show, in the order of time.
WATCH_PAGES = """
window.heard = [];
window.steps = [];
new MutationObserver(() => {
  const note = (list, text) => { if (text && text !== list.at(-1)) list.push(text); };
  const step = document.querySelector("#panel [aria-current=step]");
  note(window.heard, document.getElementById("announcer")?.textContent.trim());
  note(window.steps, step?.closest("#panel").hidden ? "" : step?.firstChild.textContent);
}).observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
"""


class Visitor:
    """Somebody at campus, in a browser of their own.

    :param campus: campus' address.
    :param login: their short name at campus.
    """

    def __init__(self, context: BrowserContext, campus: str, login: str) -> None:
        self.context = context
        self.campus = campus
        self.login = login
        self.complaints: list[str] = []
        self.websockets: list[str] = []
        context.set_default_timeout(SOON)
        context.add_init_script(WATCH_PAGES)
        context.on("console", self._console)
        context.on("weberror", self._web_error)
        context.on("page", lambda page: page.on("websocket", self._websocket))
        self.page = context.new_page()

    def _console(self, message: ConsoleMessage) -> None:
        """Keep what the browser complains of in campus' pages and ours; JupyterLab's own are its business,
        unless they are about a policy, which is ours."""
        where = urlsplit(str(message.location.get("url", "")))
        host = (where.hostname or "").partition(".")[0]
        ours = host in ("campus", "ipylti") or where.path.startswith("/_ipylti/")
        if "Content Security Policy" in message.text or (ours and message.type in ("error", "warning")):
            self.complaints.append(f"{message.type}: {message.text} ({where.geturl()})")

    def _web_error(self, error: WebError) -> None:
        text = str(error.error.stack or error.error)
        if "/static/" in text and "/static/lab/" not in text:
            self.complaints.append(text)

    def _websocket(self, websocket: WebSocket) -> None:
        self.websockets.append(websocket.url)

    def open_course(self) -> None:
        """Come to the course, signed in."""
        self.page.goto(f"{self.campus}/course?as={self.login}")
        expect(self.page.get_by_role("heading", level=1)).to_have_text("Introduction to Notebooks")

    def launch(self, link: Link) -> "Workbench":
        """Open an assignment from the course, in campus' frame."""
        self.open_course()
        self.page.get_by_role("link", name=f"Open {link.title}", exact=True).click()
        return Workbench(self.page, self.page.frame_locator("#tool"))

    def launch_in_window(self, link: Link) -> "Workbench":
        """Open an assignment in a tab of its own, as campus offers it."""
        self.open_course()
        with self.context.expect_page() as opened:
            row = self.page.get_by_role("listitem").filter(has_text=link.title)
            row.get_by_role("link", name="New tab").click()
        return Workbench(opened.value, opened.value)

    def grades(self, link: Link) -> Locator:
        """Open the gradebook, and return an assignment's column."""
        self.page.goto(f"{self.campus}/course/gradebook?as={self.login}")
        title = self.page.get_by_role("heading", name=link.title)
        return self.page.locator("section.column").filter(has=title)

    def kernel_channels(self) -> list[str]:
        """Return the WebSockets to kernels that this browser has opened."""
        return [url for url in self.websockets if re.search(r"/api/kernels/[^/]+/channels", url)]


class Workbench:
    """The tool's page.

    :param page: the browser's page that it is in.
    :param root: the frame it fills, or the page itself.
    """

    def __init__(self, page: Page, root: Page | FrameLocator) -> None:
        self.page = page
        self.root = root
        self.panel = root.locator("#panel")
        self.heading = self.panel.get_by_role("heading")
        self.step = self.panel.locator("[aria-current=step]")
        self.facts = root.locator("#submission")
        self.submit_button = root.locator("#submit")
        self.lab = Lab(page, root.frame_locator("#notebook"))

    @property
    def frame(self) -> Frame:
        """The frame itself, to look into."""
        return next(frame for frame in self.page.frames if re.search(r"/launches/[^/]+$", frame.url))

    @property
    def workspace(self) -> str:
        """The id of the workspace."""
        origin = self.root.locator("#workbench").get_attribute("data-notebook-origin") or ""
        return (urlsplit(origin).hostname or "").partition(".")[0]

    def button(self, name: str) -> Locator:
        """Return a button by its name."""
        return self.root.get_by_role("button", name=name, exact=True)

    def open(self) -> "Lab":
        """Wait until the notebook is open."""
        # A page that is about to be loaded anew has no panel at all.
        expect(self.root.locator("#panel[hidden]")).to_be_attached(timeout=LOADED)
        self.lab.wait()
        return self.lab

    def submit(self) -> None:
        """Press Submit, and see that it is handed in."""
        self.submit_button.click()
        expect(self.facts).to_contain_text("Handed in at")

    def come_back(self) -> None:
        """Let the page know that somebody looks at it again; it then asks at once what there is to know."""
        self.frame.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    def heard(self) -> list[str]:
        """Return what a screen reader was told, in order."""
        return list(self.frame.evaluate("heard"))

    def steps(self) -> list[str]:
        """Return the steps of the start that were to be seen, in order."""
        return list(self.frame.evaluate("steps"))


@dataclass
class Lab:
    """JupyterLab.

    :param page: the browser's page that it is in.
    :param root: the frame it fills, or the page itself.
    """

    page: Page
    root: Page | FrameLocator
    files: Locator = field(init=False)

    def __post_init__(self) -> None:
        self.files = self.root.locator(".jp-DirListing-content")

    def wait(self) -> None:
        """Wait until one can work in it."""
        self.root.locator("#jupyterlab-splash").wait_for(state="detached", timeout=LOADED)
        expect(self.files).to_be_visible(timeout=LOADED)
        expect(self.root.locator(".lm-DockPanel-tabBar .lm-TabBar-tab").first).to_be_visible(timeout=LOADED)

    def file(self, name: str) -> Locator:
        """Return a file or folder in the list of files."""
        return self.files.get_by_role("listitem").filter(has_text=name)

    def new_notebook(self, name: str) -> "Notebook":
        """Make a notebook from the launcher, and name it."""
        self.root.locator(".jp-LauncherCard").filter(has_text="Python 3").first.click()
        made = self._notebook()
        self.page.keyboard.press("Control+S")
        dialog = self.root.get_by_role("dialog").filter(has_text="Rename")
        dialog.get_by_role("textbox").fill(name)
        dialog.get_by_role("button", name=re.compile("^Rename")).click()
        expect(self.file(name)).to_be_visible()
        return made

    def new_folder(self, name: str) -> None:
        """Make a folder with the button over the list of files."""
        self.root.locator("[data-command='filebrowser:create-new-directory']").click()
        self.files.locator("input").fill(name)
        self.files.locator("input").press("Enter")
        expect(self.file(name)).to_be_visible()

    def open_notebook(self, name: str) -> "Notebook":
        """Open a notebook from the list of files."""
        self.file(name).dblclick()
        return self._notebook()

    def _notebook(self) -> "Notebook":
        found = Notebook(
            self.page,
            self.root.locator(".jp-NotebookPanel:not(.lm-mod-hidden)"),
            self.root.locator(".lm-DockPanel-tabBar .jp-mod-current"),
        )
        expect(found.panel).to_be_visible()
        # JupyterLab forgets what is run before the kernel is there.
        expect(self.root.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=LOADED)
        return found


@dataclass
class Notebook:
    """An open notebook.

    :param page: the browser's page that it is in.
    :param panel: what JupyterLab shows it in.
    :param tab: its tab in JupyterLab.
    """

    page: Page
    panel: Locator
    tab: Locator

    @property
    def cells(self) -> Locator:
        """Its cells."""
        return self.panel.locator(".jp-Cell:not(.jp-mod-placeholder)")

    def write(self, text: str) -> None:
        """Write into the first cell, in place of what is there."""
        self._type_at("Control+A", text)

    def add(self, line: str) -> None:
        """Write another line into the first cell, neither run nor saved."""
        self._type_at("Control+End", line, "Enter")
        expect(self.tab).to_contain_class(UNSAVED)

    def _type_at(self, place: str, text: str, *before: str) -> None:
        self._edit()
        for key in (place, *before):
            self.page.keyboard.press(key)
        self.page.keyboard.type(text)
        expect(self.cells.first).to_contain_text(text)

    def run(self, output: str) -> None:
        """Run the first cell, and see its output."""
        self._edit()
        self.page.keyboard.press("Control+Enter")
        shown = self.cells.first.locator(".jp-OutputArea-output").first
        expect(shown).to_contain_text(output, timeout=LOADED)

    def save(self) -> None:
        """Save it."""
        self._edit()
        self.page.keyboard.press("Control+S")
        expect(self.tab).not_to_contain_class(UNSAVED)

    def _edit(self) -> None:
        self.cells.first.locator(".cm-content").click()
