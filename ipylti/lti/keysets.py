"""Platforms' public keys (RFC 7517), remembered so that a launch waits for no network.

A set is kept in this process' memory and in the shared cache. It is fetched anew when it is an hour old, or
when a key id is asked for that is not in it, but not more than once in 30 s: else anybody with a made-up key
id could have us call the platform at will. While the platform does not answer, what is remembered serves on.
One thread asks a platform. Others go on with what is remembered, or wait for it, but not for long: a platform
that hangs must not take the threads that serve everybody's launches.
"""

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import RSAAlgorithm
from jwt.exceptions import PyJWTError

from ipylti.errors import OutgoingError, PlatformUnreachable
from ipylti.http import OutgoingHTTP
from ipylti.lti import strict_json
from ipylti.lti.id_token import ALGORITHMS
from ipylti.lti.stores import Cache, Locks

#: Seconds after which a set is fetched anew, so that a withdrawn key is not believed much longer.
FRESH = 3600

#: Seconds between two fetches of one set, whatever the reason.
PAUSE = 30

#: Seconds for which a launch waits for another's fetch of a set of which nothing is remembered.
PATIENCE = 2.0

#: Seconds for which a set serves while it can't be fetched.
OUTAGE = 7 * 24 * 3600

#: Bits of a key. Shorter ones are too weak, longer ones only cost time.
SMALLEST, LARGEST = 2048, 8192

#: Keys of one set that are looked at; platforms publish one to three.
KEYS_OF_A_SET = 50


@dataclass(frozen=True)
class _Set:
    """A platform's keys.

    :param keys: by key id.
    :param fetched: when the platform last gave them, in seconds since 1970; 0 for never.
    :param tried: when the platform was last asked.
    """

    keys: Mapping[str, RSAPublicKey]
    fetched: float
    tried: float


class PlatformKeys:
    """Finds platforms' keys; threads share it.

    :param cache: shared by all processes, so that one of them asks for all.
    :param locks: shared by all processes; without it only this one's threads wait for each other. One has to
        last for a fetch, and is to be waited for as long as :data:`PATIENCE`.
    :param clock: seconds since 1970.
    """

    def __init__(
        self,
        http: OutgoingHTTP,
        cache: Cache,
        locks: Locks | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._http = http
        self._cache = cache
        self._locks = locks
        self._clock = clock
        self._sets: dict[str, _Set] = {}
        self._threads: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def find(self, jwks_url: str, kid: str) -> RSAPublicKey | None:
        """Return the key of this id, None if the platform publishes no usable one.

        :raises PlatformUnreachable: the set can't be had, and none is remembered.
        """
        known = self._sets.get(jwks_url)
        if known is None or not self._serves(known, kid):
            known = self._renewed(jwks_url, kid)
        return known.keys.get(kid)

    def _serves(self, known: _Set, kid: str) -> bool:
        """Return whether the set answers for this key id without asking anybody."""
        now = self._clock()
        if not self._believed(known):
            return False
        return (kid in known.keys and now - known.fetched < FRESH) or now - known.tried < PAUSE

    def _believed(self, known: _Set) -> bool:
        """Return whether the set still counts, fresh or not."""
        return self._clock() - known.fetched < OUTAGE

    def _renewed(self, url: str, kid: str) -> _Set:
        """Return the newest set that can be had, and remember it.

        :raises PlatformUnreachable: somebody else asks for it, too, and takes long.
        """
        remembered = self._sets.get(url)
        usable = remembered is not None and self._believed(remembered) and kid in remembered.keys
        with self._locked(url, 0 if usable else PATIENCE) as mine:
            # Another thread may have fetched while this one waited, and another process before that.
            found = [each for each in (self._sets.get(url), self._shared(url)) if each is not None]
            known = max(found, key=lambda each: (each.fetched, each.tried), default=None)
            if known is not None:
                self._sets[url] = known
                if self._serves(known, kid) or (usable and not mine):
                    return known
            if not mine:
                raise PlatformUnreachable("the key set is being fetched, and that takes long")
            return self._fetched(url, known)

    def _fetched(self, url: str, known: _Set | None) -> _Set:
        """Ask the platform, unless it was asked just now; fall back on what is known."""
        now = self._clock()
        if known is not None and now - known.tried < PAUSE:
            raise PlatformUnreachable("the key set could not be fetched a moment ago")
        try:
            answer = self._http.get_json(url)
            if answer.status != 200:
                raise OutgoingError(f"the key set answers {answer.status}")
            content = strict_json.loads(answer.body)
            found = _Set(usable_keys(content), now, now)
        except (OutgoingError, strict_json.NotJSON) as err:
            remembered = known or _Set({}, 0, 0)
            self._sets[url] = found = _Set(remembered.keys, remembered.fetched, now)
            if now - found.fetched >= OUTAGE:
                raise PlatformUnreachable(f"the key set can't be had: {err}") from err
            return found
        self._sets[url] = found
        self._cache.set(_cache_key(url), {"jwks": content, "fetched": now}, OUTAGE)
        return found

    def _shared(self, url: str) -> _Set | None:
        """Return the set that the shared cache holds."""
        record: Any = self._cache.get(_cache_key(url))
        if record is None:
            return None
        return _Set(usable_keys(record["jwks"]), record["fetched"], record["fetched"])

    @contextlib.contextmanager
    def _locked(self, url: str, patience: float) -> Iterator[bool]:
        """Let one thread of one process at a time renew a set; give whether it is this one.

        :param patience: seconds to wait for another thread.
        """
        with self._guard:
            thread = self._threads.setdefault(url, threading.Lock())
        if not thread.acquire(timeout=patience):
            yield False
            return
        try:
            across: AbstractContextManager[object] = (
                self._locks(_cache_key(url)) if self._locks else contextlib.nullcontext(True)
            )
            with across as held:
                yield held is not None
        finally:
            thread.release()


def usable_keys(content: Any) -> dict[str, RSAPublicKey]:
    """Return the keys of a JSON Web Key Set that may sign messages, by key id.

    Without ``alg`` a key may sign, as may one without ``use``; what is for something else, has no id, is
    symmetric, too short, or broken is skipped. Only the public members are read.

    :raises ipylti.lti.strict_json.NotJSON: it is no key set.
    """
    if not isinstance(content, dict) or not isinstance(content.get("keys"), list):
        raise strict_json.NotJSON("not a key set")
    found: dict[str, RSAPublicKey] = {}
    for jwk in content["keys"][:KEYS_OF_A_SET]:
        if not isinstance(jwk, dict) or jwk.get("kty") != "RSA":
            continue
        kid, algorithm, use = jwk.get("kid"), jwk.get("alg"), jwk.get("use")
        if not isinstance(kid, str) or kid in found:
            continue
        if algorithm not in (None, *ALGORITHMS) or use not in (None, "sig"):
            continue
        key = _public_key(jwk.get("n"), jwk.get("e"))
        if key is not None and SMALLEST <= key.key_size <= LARGEST:
            found[kid] = key
    return found


def _public_key(modulus: Any, exponent: Any) -> RSAPublicKey | None:
    """Return the key of these members, None if they make none."""
    if not isinstance(modulus, str) or not isinstance(exponent, str) or len(modulus) > LARGEST // 4:
        return None
    try:
        key = RSAAlgorithm.from_jwk({"kty": "RSA", "n": modulus, "e": exponent})
    except (PyJWTError, ValueError):
        return None
    return key if isinstance(key, RSAPublicKey) else None


def _cache_key(url: str) -> str:
    return f"jwks:{hashlib.sha256(url.encode()).hexdigest()}"
