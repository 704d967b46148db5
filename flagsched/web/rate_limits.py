"""Rate limits: writes of each principal, and failed sign-ins from each address."""

import math
import re
import time
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

import structlog
from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import MemoryStorage, Storage, storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter
from redis.exceptions import RedisError

from flagsched.domain.errors import RateLimited

MEMORY = "memory://"
REDIS = ("redis", "rediss")
DATABASE = re.compile("/?[0-9]{0,9}")
log = structlog.get_logger("flagsched.web")
WITH_PORT = re.compile(r"\[(?P<six>[0-9A-Fa-f:.]+)\](?::[0-9]+)?|(?P<four>[0-9.]+):[0-9]+")


class RateLimits:
    """Counters over a sliding minute, in this process's memory or in a Redis that all processes share."""

    def __init__(self, storage: str, *, writes: int, failed_sign_ins: int) -> None:
        """`storage` is `memory://` or a Redis URL, else ValueError; the numbers are per minute."""
        refuse_bad_storage(storage)
        self._writes = RateLimitItemPerMinute(writes)
        self._failed_sign_ins = RateLimitItemPerMinute(failed_sign_ins)
        self._shared = SlidingWindowCounterRateLimiter(_open(storage))
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())

    def answers(self) -> bool:
        """Can the storage be reached?"""
        return bool(self._shared.storage.check())

    def count_write(self, principal: str) -> None:
        """Count a write of `principal`; RateLimited if it is over the limit."""
        self._count(self._writes, "write", principal)

    def count_failed_sign_in(self, address: str) -> None:
        """Count a failed sign-in from `address`; RateLimited if it is over the limit."""
        self._count(self._failed_sign_ins, "sign-in", _network(address))

    def _count(self, limit: RateLimitItemPerMinute, what: str, key: str) -> None:
        try:
            self._hit(self._shared, limit, what, key)
        except StorageError as error:
            # A limit in each process is less exact, but better than refusing every request.
            log.warning("rate storage away, counting in this process", cause=str(error))
            self._hit(self._own, limit, what, key)

    @staticmethod
    def _hit(counter: SlidingWindowCounterRateLimiter, limit: RateLimitItemPerMinute, what: str, key: str) -> None:
        if not counter.hit(limit, what, key):
            seconds = counter.get_window_stats(limit, what, key).reset_time - time.time()
            raise RateLimited(what, limit.amount, max(1, math.ceil(seconds)))


def _network(address: str) -> str:
    """The addresses that one caller controls: an IPv4 address, also one mapped to IPv6, or an IPv6 /64."""
    # Some proxies append the port in X-Forwarded-For, which differs with each connection.
    with_port = WITH_PORT.fullmatch(address)
    try:
        parsed = ip_address(with_port["six"] or with_port["four"] if with_port else address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(ip_network((parsed, 64), strict=False))
    return str(parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else parsed)


def refuse_bad_storage(storage: str) -> None:
    """ValueError for a storage that is neither `memory://` nor the URL of a Redis; does not connect."""
    scheme, separator, _ = storage.partition("://")
    if storage == MEMORY:
        return
    if not separator or scheme not in REDIS:
        raise ValueError("must be memory:// or a Redis URL, like redis://:password@host:6379/0 or rediss://…")
    if not DATABASE.fullmatch(urlsplit(storage).path):
        raise ValueError("must name a Redis database by its number, like redis://host:6379/0")
    try:
        # The client reads the URL's parameters only when it makes a connection.
        _open(storage).storage.connection_pool.make_connection()
    except (ValueError, TypeError, AttributeError, RedisError):
        # Without its reason, which may quote the password.
        raise ValueError("is not the URL of a Redis: check its port, its database and its parameters") from None


def _open(storage: str) -> Any:
    # A Redis that hangs must not hang the requests.
    timeouts = {"socket_timeout": 0.2, "socket_connect_timeout": 0.2} if storage.startswith("redis") else {}
    opened = storage_from_string(storage, wrap_exceptions=True, **timeouts)
    if not isinstance(opened, Storage):
        raise TypeError(f"not a storage for one thread: {storage.partition('://')[0]}")
    return opened
