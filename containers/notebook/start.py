"""Start JupyterLab, quickly.

The server's start is almost all imports. What it imports and hardly ever uses is loaded on first use, and the
garbage collector, which would walk the growing heap again and again without finding anything, waits until the
server serves. Every option of ``jupyter-lab`` may be given.
"""

import gc

gc.disable()

import os  # noqa: E402
import sys  # noqa: E402
from importlib.machinery import ModuleSpec, PathFinder  # noqa: E402
from importlib.util import LazyLoader  # noqa: E402

#: Needed for listings of extensions, of which this image has none, and for settings that somebody changed.
LAZY = frozenset({"json5", "requests"})


class LazyFinder:
    """An import finder that loads the modules named in LAZY when one of their names is first asked for."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return a spec with a lazy loader, or None to leave the module to the other finders."""
        if name not in LAZY:
            return None
        spec = PathFinder.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def collect_again() -> None:
    """Switch the collector on; what the start has left is exempt from it, since it stays anyhow."""
    gc.freeze()
    gc.enable()


def main() -> None:
    """Run JupyterLab until it is told to stop."""
    # Set but empty would mean "no authentication" to Jupyter; unset, it makes a token up.
    if not os.environ.get("JUPYTER_TOKEN"):
        os.environ.pop("JUPYTER_TOKEN", None)
    sys.meta_path.insert(0, LazyFinder)  # type: ignore[arg-type]
    import tabs
    from jupyterlab.labapp import LabApp

    server = LabApp.initialize_server(sys.argv[1:])
    tabs.add_to(server)
    server.io_loop.add_callback(collect_again)
    server.start()


if __name__ == "__main__":
    main()
