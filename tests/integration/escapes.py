"""Ways out of a container that hostile code tries; run in a notebook's kernel by ``test_hostile.py``.

Each attempt raises OSError or gives -1, or what it gained is put into :data:`done`. One that succeeds does no
harm: it opens and does not write, or does so in a process of its own that ends at once.
"""

import ctypes
import glob
import os
import platform
import socket
import stat
import subprocess
from collections.abc import Callable
from typing import Any

#: What succeeded, with what came of it.
done: list[list[str]] = []

LIBC = ctypes.CDLL(None, use_errno=True)

#: Numbers of system calls that the C library has no function for: x86-64, ARM64.
NUMBERS = {
    "add_key": (248, 217),
    "bpf": (321, 280),
    "clone3": (435, 435),
    "finit_module": (313, 273),
    "fsopen": (430, 430),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "keyctl": (250, 219),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pivot_root": (155, 41),
    "request_key": (249, 218),
    "userfaultfd": (323, 282),
}
COLUMN = ("x86_64", "aarch64").index(platform.machine())

#: CLONE_NEW… (clone(2)), and two at once as containers are made.
NAMESPACES = {
    "time": 0x80,
    "mount": 0x20000,
    "cgroup": 0x2000000,
    "uts": 0x4000000,
    "ipc": 0x8000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
    "user and mount": 0x10020000,
}
DEVICES = {"mem": (1, 1), "kmsg": (1, 11), "loop": (7, 0), "sda": (8, 0), "fuse": (10, 229), "vda": (254, 0)}
USUAL_DEVICES = {"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx"}

#: The kernel's settings and ways into it, to be written; its memory and messages, to be read.
WRITTEN = (
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/vm/drop_caches",
    "/proc/sysrq-trigger",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/kernel/uevent_helper",
    "/sys/power/state",
    *glob.glob("/sys/fs/cgroup/**/release_agent", recursive=True),
    *glob.glob("/sys/fs/cgroup/**/memory.max", recursive=True),
    *glob.glob("/sys/fs/cgroup/**/pids.max", recursive=True),
)
READ = ("/proc/kcore", "/proc/kmsg", "/dev/kmsg", "/dev/mem", "/proc/timer_list")

#: Family, kind and protocol of sockets that a notebook does not need.
SOCKETS = {
    "raw": (2, 3, 1),
    "packet": (17, 3, 0),
    "netfilter": (16, 3, 12),
    "bluetooth": (31, 3, 0),
    "alg": (38, 5, 0),
    "vsock": (40, 1, 0),
}


def attempt(what: str, act: Callable[..., Any], *arguments: Any) -> None:
    """Try something and note it if it succeeds."""
    try:
        result = act(*arguments)
    except (OSError, subprocess.SubprocessError):
        return
    if result != -1:
        done.append([what, repr(result)])


def call(name: str, *arguments: Any) -> int:
    """Make a system call by its number."""
    return int(LIBC.syscall(NUMBERS[name][COLUMN], *arguments))


def apart(act: Callable[..., Any], *arguments: Any) -> int:
    """Try something in a process of its own, which ends with whatever it gained."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(int(act(*arguments) == -1))
        except BaseException:
            os._exit(1)
    return -os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def opened(path: str, how: int) -> str:
    """Open a file, and close it again."""
    os.close(os.open(path, how))
    return path


def joined(path: str) -> int:
    """Join a namespace."""
    return int(LIBC.setns(os.open(path, os.O_RDONLY), 0))


def rights(program: str) -> str | int:
    """Start a program that has its owner's rights; returns those that it has beside its caller's."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=quiet, stderr=quiet) as started:
        try:
            with open(f"/proc/{started.pid}/status") as file:
                status = dict(line.rstrip().split(":\t", 1) for line in file if ":\t" in line)
        finally:
            started.kill()
    more = int(status["CapEff"], 16) or "0" in status["Uid"].split() + status["Gid"].split()
    return f"{status['Uid']} {status['CapEff']}" if more else -1


def namespaces_and_mounts() -> None:
    """Make a small world in which one is root, or join another."""
    for name, flag in NAMESPACES.items():
        attempt(f"unshare {name}", apart, LIBC.unshare, flag)
    for path in glob.glob("/proc/1/ns/*"):
        attempt(f"setns {path}", apart, joined, path)
    for kind in (b"tmpfs", b"proc", b"overlay", b"cgroup2"):
        attempt(f"mount {kind!r}", LIBC.mount, b"none", b"/mnt", kind, 0, None)
    attempt("bind", LIBC.mount, b"/", b"/mnt", None, 4096, None)
    attempt("remount", LIBC.mount, None, b"/proc/sys", None, 32 | 4096, None)
    attempt("umount", LIBC.umount2, b"/proc/sys", 2)
    attempt("open_tree", call, "open_tree", -100, b"/", 1)
    attempt("fsopen", call, "fsopen", b"tmpfs", 0)
    attempt("mount_setattr", call, "mount_setattr", -100, b"/", 0, bytes(32), 32)
    attempt("pivot_root", call, "pivot_root", b".", b".")
    attempt("chroot", apart, os.chroot, "/")
    attempt("clone3", apart, call, "clone3", bytes(64), 64)


def devices() -> None:
    """Reach the machine's disks and memory, by devices that are there or that one makes."""
    for name, (major, minor) in DEVICES.items():
        for kind in (stat.S_IFBLK, stat.S_IFCHR):
            attempt(f"mknod {name}", os.mknod, f"/tmp/{name}", kind | 0o600, os.makedev(major, minor))
    for folder, _, names in os.walk("/dev"):
        for name in names if not folder.startswith("/dev/pts") else ():
            path = os.path.join(folder, name)
            mode = os.stat(path).st_mode if os.path.exists(path) else 0
            if (stat.S_ISBLK(mode) or stat.S_ISCHR(mode)) and name not in USUAL_DEVICES:
                done.append(["device", path])


def kernel() -> None:
    """Change the kernel's settings, read its memory, run code in it."""
    for path in WRITTEN:
        attempt(f"write {path}", opened, path, os.O_WRONLY)
    for path in READ:
        attempt(f"read {path}", lambda path=path: os.read(os.open(path, os.O_RDONLY), 1) or -1)
    attempt("cgroup", os.mkdir, "/sys/fs/cgroup/mine")
    attempt("syslog", LIBC.klogctl, 3, ctypes.create_string_buffer(64), 64)
    attempt("bpf", call, "bpf", 0, bytes(128), 128)
    attempt("perf", call, "perf_event_open", bytes(128), 0, -1, -1, 0)
    attempt("userfaultfd", call, "userfaultfd", 0)
    attempt("io_uring", call, "io_uring_setup", 4, bytes(120))
    attempt("module", call, "finit_module", 0, b"", 0)
    attempt("open_by_handle_at", call, "open_by_handle_at", -100, bytes(136), 0)
    for name, words in SOCKETS.items():
        attempt(f"socket {name}", lambda words=words: socket.socket(*words).close())


def keys() -> None:
    """Leave something where all processes of one user find it, whatever container they are in."""
    attempt("add_key", call, "add_key", b"user", b"ipylti", b"x", 1, -4)
    attempt("request_key", call, "request_key", b"user", b"ipylti", None, -4)
    attempt("keyctl", call, "keyctl", 0, -4, 1)
    attempt("keyctl session", call, "keyctl", 1, None)


def processes() -> None:
    """See or touch processes that are not one's own."""
    mine = os.getuid()
    for path in glob.glob("/proc/[0-9]*"):
        if os.path.exists(path) and os.stat(path).st_uid != mine:
            done.append(["process", path])
    with open("/proc/1/cmdline", "rb") as file:
        if b"jupyter" not in file.read():
            done.append(["the first process is none of ours", ""])
    attempt("ptrace", LIBC.ptrace, 16, os.getppid() + 100_000, None, None)
    attempt("kcmp", call, "kcmp", 1, 1, 0, 0, 0)


def rights_of_others() -> None:
    """Become root within the container, by oneself or by a program that has root's rights."""
    attempt("setuid", apart, os.setuid, 0)
    attempt("setgid", apart, os.setgid, 0)
    attempt("setgroups", apart, os.setgroups, [0])
    for folder, _, names in os.walk("/usr"):
        for name in names:
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                attempt(f"run {path}", rights, path)


for way in (namespaces_and_mounts, devices, kernel, keys, processes, rights_of_others):
    way()
