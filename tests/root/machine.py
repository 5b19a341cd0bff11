"""A machine with systemd: a privileged container of root's Podman, in a network that leads nowhere.

Whoever enters the network (:meth:`Machine.network`) reaches the machine's 127.0.0.1 as its own.
"""

import contextlib
import ctypes
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.integration.conftest import podman
from tests.parts import wait_for

ROOT = Path(__file__).resolve().parent.parent.parent
IMAGE = "localhost/ipylti-machine:latest"
NOTEBOOK = "localhost/ipylti-notebook:latest"

#: Where namespaces are kept for as long as somebody names them.
_NETWORKS = Path("/run/ipylti-tests/networks")

_CLONE_NEWNET = 0x40000000

#: Bring the loopback device up, as netdevice(7) says: SIOCSIFFLAGS, with IFF_UP and IFF_RUNNING.
_LOOPBACK = """
import fcntl, socket, struct
with socket.socket() as sock:
    fcntl.ioctl(sock, 0x8914, struct.pack("16sH14x", b"lo", 0x41))
"""

#: systemd wants all of a machine. Where cgroups are not unified, containers within it want them to begin with
#: the machine: runc looks for its own below there. And root may not raise limits everywhere.
_OPTIONS = [
    *("--systemd=always", "--privileged", "--cgroupns", "private", "--hostname", "machine"),
    *("--ulimit", "nofile=10000:10000", "--ulimit", "nproc=10000:10000"),
]


class Machine:
    """One such machine, with the checkout in an administrator's home.

    :param user: the unprivileged user under which ipylti will run there; ``uid`` is the first that is given.
    """

    checkout = "/srv/admin/ipylti"
    user = "ipylti"
    uid = 1000

    def __init__(self) -> None:
        self.name = f"ipylti-machine-{secrets.token_hex(4)}"
        self.home = f"{self.name}-home"
        self.namespace = _NETWORKS / self.name

    def start(self) -> "Machine":
        """Make it, and have it boot.

        What takes long and needs a network is there already: the virtual environment, and the notebook image
        in an archive.
        """
        _NETWORKS.mkdir(parents=True, exist_ok=True)
        self.namespace.touch()
        subprocess.run(
            ["unshare", f"--net={self.namespace}", sys.executable, "-c", _LOOPBACK], check=True, timeout=60
        )
        venv = f"{sys.prefix}:/opt/venv:ro"
        network = f"ns:{self.namespace}"
        volumes = ["--volume", f"{self.home}:/home", "--volume", venv]
        podman(
            "run",
            "--detach",
            "--name",
            self.name,
            *_OPTIONS,
            "--network",
            network,
            *volumes,
            IMAGE,
            "/sbin/init",
        )
        self.wait_for_boot()
        state = f"/home/{self.user}/.local/share/ipylti"
        owner = f"chown -R {self.uid}:{self.uid} /home/{self.user}"
        self.root(f"mkdir -p {state} && ln -s /opt/venv {state}/venv && {owner}")
        self._copy_checkout()
        with subprocess.Popen(["podman", "save", "--quiet", NOTEBOOK], stdout=subprocess.PIPE) as saving:
            into = ["podman", "exec", "--interactive", self.name, "sh", "-c", "cat >/srv/notebook.tar"]
            subprocess.run(into, stdin=saving.stdout, check=True, timeout=300)
        return self

    def _copy_checkout(self) -> None:
        words = ["tar", "-C", str(ROOT), "--exclude=./.git", "--exclude=__pycache__", "-cf", "-", "."]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as packing:
            unpack = f"mkdir {self.checkout} && tar -C {self.checkout} --no-same-owner -xf -"
            script = f"{unpack} && chown -R admin: {self.checkout}"
            into = ["podman", "exec", "--interactive", self.name, "sh", "-c", script]
            subprocess.run(into, stdin=packing.stdout, check=True, timeout=120)

    def remove(self) -> None:
        """Leave nothing of it."""
        podman("rm", "--force", "--time", "0", self.name, check=False)
        podman("volume", "rm", "--force", self.home, check=False)
        subprocess.run(["umount", str(self.namespace)], check=False)
        self.namespace.unlink(missing_ok=True)

    def reboot(self) -> None:
        """Have its systemd end everything and the machine start again."""
        self.root("systemctl reboot", check=False)
        wait_for(
            lambda: podman("inspect", "--format", "{{.State.Running}}", self.name) == "false", "halt", 120
        )
        podman("start", self.name)
        self.wait_for_boot()

    def wait_for_boot(self) -> None:
        """Wait until systemd has started all that it starts at boot."""
        told = "systemctl is-system-running"
        wait_for(lambda: self.root(told, check=False) in ("running", "degraded"), "boot", 120, pause=0.5)

    def root(self, script: str, *, check: bool = True) -> str:
        """Run a shell script as root, and return what it prints."""
        return self._run(script, "root", "/", check)

    def admin(self, script: str) -> str:
        """Run a shell script as the sysadmin, in the checkout."""
        return self._run(script, "admin", self.checkout, True)

    def service(self, script: str, *, check: bool = True) -> str:
        """Run a shell script as the user under which ipylti runs."""
        return self._run(f"export XDG_RUNTIME_DIR=/run/user/{self.uid}; {script}", self.user, "/", check)

    def _run(self, script: str, user: str, folder: str, check: bool) -> str:
        words = [
            "podman",
            "exec",
            "--user",
            user,
            "--workdir",
            folder,
            self.name,
            "bash",
            "-euo",
            "pipefail",
            "-c",
        ]
        done = subprocess.run([*words, script], capture_output=True, text=True, timeout=400)
        if check and done.returncode:
            raise AssertionError(f"{script}: status {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout.strip()

    def show(self, unit: str, what: str) -> str:
        """Return a property of one of the user's units."""
        return self.service(f"systemctl --user show --property={what} --value {unit}")

    def containers(self) -> dict[str, str]:
        """Return the running containers' ids and the moments in which they were started, by name."""
        told = self.admin(
            "sudo bin/host run podman ps --no-trunc --format '{{.Names}} {{.ID}} {{.StartedAt}}'"
        )
        return dict(line.split(" ", 1) for line in told.splitlines())

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """Be in the machine's network for the length of a block, with all threads that are started there."""
        with open("/proc/thread-self/ns/net") as own, self.namespace.open() as other:
            _enter(other.fileno())
            try:
                yield
            finally:
                _enter(own.fileno())


def _enter(descriptor: int) -> None:
    """Have this thread change to a network (setns(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Document:
    """The commands of ``docs/install.md``, by heading."""

    def __init__(self, text: str) -> None:
        self.commands: dict[str, list[str]] = {}
        for heading, body in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE):
            self.commands[heading] = re.findall(r"^```sh\n(.*?)```$", body, re.DOTALL | re.MULTILINE)

    def follow(self, machine: Machine, heading: str, **environment: str) -> str:
        """Run what stands under a heading, as the sysadmin would paste it, with the test's own names."""
        given = " ".join(f"{name}={value}" for name, value in environment.items())
        printed = []
        for block in self.commands[heading]:
            script = block.replace("tool.your-university.example", "ipylti.localhost")
            script = script.replace("lab.your-university.example", "notebook.localhost")
            printed.append(machine.admin(script.replace("sudo bin/host", f"sudo {given} bin/host")))
        return "\n".join(printed)


def install_document() -> Document:
    """Return the document."""
    assert os.getuid() == 0, "bin/test root runs these tests"
    return Document((ROOT / "docs" / "install.md").read_text())
