"""Jupyter's configuration in the notebook image.

``c`` is the configuration object that Jupyter gives to this file.
"""

import os
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.paths import jupyter_path
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.services.contents.filecheckpoints import AsyncFileCheckpoints

CHECKPOINTS = "/home/jovyan/.checkpoints"


class OutsideCheckpoints(AsyncFileCheckpoints):
    """Checkpoints outside of the volume, where they would be cloned and handed in."""

    def checkpoint_path(self, checkpoint_id: str, path: str) -> str:
        """Return where a file's checkpoint is kept: below CHECKPOINTS as the file is below the root."""
        parent, name = os.path.split(path.strip("/"))
        stem, suffix = os.path.splitext(name)
        # As an absolute path with its ".." resolved first, so that nothing leads out of CHECKPOINTS.
        directory = CHECKPOINTS + os.path.normpath("/" + parent)
        os.makedirs(directory, exist_ok=True)
        return os.path.join(directory, f"{stem}-{checkpoint_id}{suffix}")


class KernelSpecs(KernelSpecManager):
    """Looks for kernels in Jupyter's folders, not in ``~/.ipython``: for that it would import IPython."""

    def _kernel_dirs_default(self) -> list[str]:
        return jupyter_path("kernels")


def page_config(handler: Any, config: dict[str, Any]) -> dict[str, Any]:
    """Change what the page tells JupyterLab's scripts: without the token, with the tool's origin."""
    return {**config, "token": "", "ipyltiToolOrigin": os.environ.get("IPYLTI_TOOL_ORIGIN", "")}


# The gate adds the token to each request that it lets through; the browser never needs to know it. Jupyter
# writes it into its own pages too, such as the one for "404 Not Found". A handler's `token` itself stays: the
# identity provider compares with it.
_namespace = JupyterHandler.template_namespace.fget
JupyterHandler.template_namespace = property(lambda self: {**_namespace(self), "token": ""})

c.ServerApp.ip = "0.0.0.0"  # noqa: F821, S104 - the container's; it is published on the host's loopback only
c.ServerApp.port = 8888  # noqa: F821
c.ServerApp.port_retries = 0  # noqa: F821
c.ServerApp.open_browser = False  # noqa: F821
c.ServerApp.root_dir = "/home/jovyan/work"  # noqa: F821
c.ServerApp.quit_button = False  # noqa: F821
# The Host header is the workspace's name, which Jupyter can't know; the gate has checked it.
c.ServerApp.allow_remote_access = True  # noqa: F821
c.ServerApp.tornado_settings = {"page_config_hook": page_config}  # noqa: F821

c.ContentsManager.checkpoints_class = OutsideCheckpoints  # noqa: F821
# A trash folder on the volume would be cloned and handed in.
c.FileContentsManager.delete_to_trash = False  # noqa: F821
c.FileContentsManager.always_delete_dir = True  # noqa: F821

c.ServerApp.kernel_spec_manager_class = KernelSpecs  # noqa: F821

c.LabApp.news_url = None  # noqa: F821
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"  # noqa: F821
c.LabApp.extension_manager = "readonly"  # noqa: F821
