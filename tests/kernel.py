"""A notebook's kernel, spoken to over its WebSocket as JupyterLab does: RFC 6455 as far as that takes.

By hand, because the tests look at what the gate answers to a handshake that no library would send.
"""

import base64
import hashlib
import json
import os
import secrets
import socket
import struct
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from tests.person import Notebook

#: What the server joins to the key that it was sent (RFC 6455, 1.3).
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

#: Opcodes of frames.
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10

_CONTINUATION = 0

#: Seconds for which a kernel may compute and say nothing, on a busy machine.
_SILENCE = 120.0


class Refused(Exception):
    """The handshake was answered by something other than 101."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class WebSocket:
    """A client's end of a WebSocket.

    :param headers: those of the handshake beside the protocol's own, by name; "" leaves one out.
    :raises Refused: the server does not want it.
    """

    def __init__(self, notebook: Notebook, path: str, headers: dict[str, str] | None = None) -> None:
        port = int(notebook.host.rpartition(":")[2])
        key = base64.b64encode(os.urandom(16)).decode()
        sent = {
            "Host": notebook.host,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
            "Origin": notebook.origin,
            **notebook.person.cookie_header(notebook.host),
            **(headers or {}),
        }
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items() if value)]
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=_SILENCE)
        self._file: BinaryIO = self._sock.makefile("rb")
        try:
            self._sock.sendall("\r\n".join([*lines, "", ""]).encode())
            status, answered = self._answer()
            if status != 101:
                raise Refused(status)
            accepted = hashlib.sha1(f"{key}{_GUID}".encode()).digest()
            assert answered["sec-websocket-accept"] == base64.b64encode(accepted).decode()
        except BaseException:
            self.close()
            raise

    def _answer(self) -> tuple[int, dict[str, str]]:
        """Return the status and the headers of the answer to the handshake."""
        status = int(self._file.readline().split()[1])
        headers = {}
        while line := self._file.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return status, headers

    def send(self, content: Any) -> None:
        """Send an object as JSON."""
        self._send_frame(_TEXT, json.dumps(content).encode())

    def receive(self) -> Any:
        """Return the next object."""
        text = b""
        while True:
            first, second = self._read(2)
            length = second & 0x7F
            if length > 125:
                size = 2 if length == 126 else 8
                length = int.from_bytes(self._read(size))
            payload = self._read(length)
            opcode = first & 0x0F
            if opcode == _PING:
                self._send_frame(_PONG, payload)
            elif opcode == _CLOSE:
                raise ConnectionError(f"closed: {payload!r}")
            elif opcode in (_TEXT, _CONTINUATION):
                text += payload
                if first & 0x80:
                    return json.loads(text)

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self._sock.close()

    def _send_frame(self, opcode: int, payload: bytes) -> None:
        """Send one masked frame (RFC 6455, 5.2 and 5.3)."""
        length = len(payload)
        size = bytes([0x80 | length]) if length < 126 else struct.pack(">BH", 0x80 | 126, length)
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        self._sock.sendall(bytes([0x80 | opcode]) + size + mask + masked)

    def _read(self, length: int) -> bytes:
        data = self._file.read(length)
        if len(data) < length:
            raise ConnectionError("broken off")
        return data


@dataclass
class Kernel:
    """A running kernel.

    :param id: Jupyter's name for it.
    """

    notebook: Notebook
    id: str = ""
    session: str = field(default_factory=lambda: secrets.token_hex(8))

    def __enter__(self) -> "Kernel":
        answer = self.notebook.send("POST", "/api/kernels", {"name": "python3"})
        assert answer.status == 201, answer.text
        self.id = answer.json()["id"]
        self.socket = self.connect()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.socket.close()

    def connect(self, **headers: str) -> WebSocket:
        """Open a WebSocket to the kernel.

        :param headers: of the handshake; underscores in the names are hyphens.
        :raises Refused: it is not let through.
        """
        path = f"/api/kernels/{self.id}/channels?session_id={self.session}"
        return WebSocket(
            self.notebook, path, {name.replace("_", "-"): text for name, text in headers.items()}
        )

    def run(self, code: str) -> str:
        """Run a cell and return what it printed; an error is raised as AssertionError."""
        message_id = secrets.token_hex(8)
        header = {"msg_id": message_id, "msg_type": "execute_request", "version": "5.3"}
        header |= {"session": self.session, "username": "", "date": ""}
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        content |= {"allow_stdin": False, "stop_on_error": True}
        parts: dict[str, Any] = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        self.socket.send({**parts, "channel": "shell", "buffers": []})
        printed = ""
        while True:
            told = self.socket.receive()
            if told["parent_header"].get("msg_id") != message_id:
                continue
            kind, content = told["msg_type"], told["content"]
            if kind == "stream":
                printed += content["text"]
            elif kind == "error":
                raise AssertionError("\n".join(content["traceback"]))
            elif kind == "status" and content["execution_state"] == "idle":
                return printed
