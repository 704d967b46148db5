"""The keys of a JWKS: read from a file or a URL, cached, and refreshed when they may have changed.

PyJWT's own client is not used: it blocks every request while it fetches, drops its keys when a fetch fails after they
have expired, and reads responses of any size (docs/decisions/0014).
"""

from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from threading import Lock, Thread
from time import monotonic

import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from flagsched.domain.errors import IssuerUnavailable
from flagsched.web.tokens.fetch import is_url, read_source, refuse_unsafe_url
from flagsched.web.tokens.public_keys import signing_keys

log = structlog.get_logger("flagsched.web")
REFRESH_SECONDS = 300
"""How old the cached keys may become: a key that the provider has withdrawn is dropped after that."""
RETRY_SECONDS = 10
"""How long to wait after a refresh before the next one, whatever tokens arrive."""
WAIT_SECONDS = 2
"""How long requests wait for a refresh, counted from its start."""
FAULTS = (OSError, HTTPException, ValueError, RecursionError)


class JwksKeys:
    """The keys by their ids. One thread at a time refreshes them; requests with cached keys do not wait for it."""

    def __init__(self, source: str, *, clock: Callable[[], float] = monotonic) -> None:
        """`source` is a file or a URL; the first `find` reads it."""
        self._source, self._clock = source, clock
        self._keys: Mapping[str, RSAPublicKey] = {}
        self._lock = Lock()
        self._refreshing: Thread | None = None
        self._read_at = self._tried_at = -float("inf")
        self._failing = False

    def find(self, key_id: str | None) -> Sequence[RSAPublicKey]:
        """The key with this id; without an id, the only key there is. IssuerUnavailable if no keys were ever read."""
        if not self._matching(key_id) or self._is_long_idle():
            self._refresh(wait_seconds=WAIT_SECONDS)
        elif self._clock() - self._read_at > REFRESH_SECONDS:
            self._refresh(wait_seconds=0)
        if not self._keys:
            raise IssuerUnavailable
        return self._matching(key_id)

    def _matching(self, key_id: str | None) -> list[RSAPublicKey]:
        keys = self._keys
        if key_id is None:
            return list(keys.values()) if len(keys) == 1 else []
        return [keys[key_id]] if key_id in keys else []

    def _is_long_idle(self) -> bool:
        """Was there no refresh for so long that a key may have been withdrawn? A failed refresh counts too."""
        return self._clock() - max(self._read_at, self._tried_at) > 2 * REFRESH_SECONDS

    def _refresh(self, wait_seconds: float) -> None:
        with self._lock:
            busy = self._refreshing is not None and self._refreshing.is_alive()
            if not busy and self._clock() - self._tried_at >= RETRY_SECONDS:
                self._tried_at = self._clock()
                self._refreshing = Thread(target=self._read, name="flagsched-jwks", daemon=True)
                self._refreshing.start()
            thread, left = self._refreshing, self._tried_at + wait_seconds - self._clock()
        if thread is not None and left > 0:
            thread.join(left)

    def _read(self) -> None:
        try:
            keys = signing_keys(read_source(self._source))
        except FAULTS as error:
            if not self._failing:
                log.warning("token keys not read, using those known", cause=str(error))
            self._failing = True
            return
        if self._failing or keys.keys() != self._keys.keys():
            log.info("token keys read", keys=len(keys))
        self._keys, self._read_at, self._failing = keys, self._clock(), False


def refuse_bad_source(source: str) -> None:
    """ValueError for a URL that is unsafe to read keys from, and for a file without keys."""
    if is_url(source):
        refuse_unsafe_url(source)
        return
    try:
        signing_keys(read_source(source))
    except OSError as error:
        raise ValueError(f"can't be read as a file: {error.strerror}") from error
