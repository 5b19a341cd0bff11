"""Names of assignments and workspaces, made from what the platform says.

A name is a hash of its parts, each preceded by its length, so that no two lists of parts can meet in one
name; it is a DNS label, since a workspace's name is also its host name.
"""

import base64
import hashlib
import re
import secrets

#: Bytes of the hash that are kept: 160 bits, 32 characters of base32.
_KEPT = 20

_SHAPE = re.compile(r"[a-z2-7]{32}")


def digest(*parts: str) -> str:
    """Return the name for a list of parts: 32 characters from ``a-z2-7``."""
    hashed = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        hashed.update(str(len(encoded)).encode() + b":" + encoded)
    return base64.b32encode(hashed.digest()[:_KEPT]).decode().lower()


def assignment_id(issuer: str, client_id: str, deployment_id: str, resource_link_id: str) -> str:
    """Return the assignment's name; it is its build workspace's name, too."""
    return digest(issuer, client_id, deployment_id, resource_link_id)


def workspace_id(issuer: str, client_id: str, deployment_id: str, resource_link_id: str, sub: str) -> str:
    """Return the name of one person's take workspace."""
    return digest(issuer, client_id, deployment_id, resource_link_id, sub)


def is_name(text: str) -> bool:
    """Return whether a text has the shape of these names; no store need be asked about any other."""
    return _SHAPE.fullmatch(text) is not None


def random_id() -> str:
    """Return an unguessable name (160 bits) of the same shape."""
    return base64.b32encode(secrets.token_bytes(_KEPT)).decode().lower()
