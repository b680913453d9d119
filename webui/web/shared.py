"""What several pages must agree on: in one Redis, or in the memory of the only page.

Both keep texts, short lists and numbers by key, and answer alike. What Redis holds can be lost
without harm: each page knows what is to be served, and the rest are log-ins, counts and messages.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from math import inf
from typing import Any, TypeVar

from webui.web.problem import ServiceError

log = logging.getLogger(__name__)

T = TypeVar("T")

PREFIX = "captionize:"
ANSWER_S = 1.0  # for Redis to connect, and to answer
AGAIN_S = 2.0  # after a failure, before Redis is asked again; until then nobody waits for it
LOCK_S = 30.0  # more than any change takes; the lock of a page that died is free after it
TURN_S = 10.0  # to wait for a lock


class StoreAway(ServiceError):
    """Redis does not answer, or refuses; nothing was changed."""

    code = 503
    type = "SharedStoreAway"
    retry_after_s = 5

    def __init__(self, message: str = "") -> None:
        super().__init__(
            message
            or "The store that the pages share does not answer. Captions go on; log-ins and "
            "changes wait for it. Try again in a few seconds."
        )


class Memory:
    """In this process, and as lasting as it. A key is of a text, a list or numbers."""

    problem: str | None = None  # why it cannot be asked now, in a sentence

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)
        self._texts: dict[str, tuple[str, float]] = {}  # with the monotonic time of their end
        self._lists: dict[str, list[str]] = {}
        self._numbers: dict[str, Counter[str]] = {}

    def texts(self, *keys: str) -> list[str | None]:
        """The text of each key; None where there is none, or where its life is over."""
        now = time.monotonic()
        found = [self._texts.get(key, ("", 0.0)) for key in keys]
        return [text if end > now else None for text, end in found]

    def put(self, key: str, text: str, life_s: float = inf, *, new: bool = False) -> None:
        """Keep a text for so many seconds; where it is to be `new`, only if there is none yet."""
        with self._lock:
            if not new or self.texts(key) == [None]:
                self._texts[key] = text, time.monotonic() + life_s

    def drop(self, *keys: str) -> None:
        """Forget keys."""
        with self._lock:
            for key in keys:
                for kept in (self._texts, self._lists, self._numbers):
                    kept.pop(key, None)

    def push(self, key: str, text: str, most: int) -> list[str]:
        """Put a text at the head of a list; those beyond the first `most`, which are removed."""
        with self._lock:
            whole = [text, *self._lists.get(key, [])]
            self._lists[key] = whole[:most]
            return whole[most:]

    def listed(self, key: str) -> list[str]:
        """The texts of a list, the newest first."""
        with self._lock:
            return list(self._lists.get(key, []))

    def add(self, key: str, numbers: Mapping[str, int]) -> dict[str, int]:
        """Add to numbers by their names, and answer all of this key."""
        with self._lock:
            kept = self._numbers.setdefault(key, Counter())
            kept.update(numbers)
            return dict(kept)

    def locked(self, key: str) -> AbstractContextManager[Any]:
        """Have the block run in one page and one thread at a time."""
        with self._lock:
            return self._locks[key]


class Redis:
    """In a Redis, which all pages of one service have to themselves, or a database of it.

    It does what Memory does. While it is away, every operation raises StoreAway at once, but for
    one every AGAIN_S, which tries.

    Args:
        url: as redis-py takes it. Raises ValueError for one that it does not, ImportError without
            that package.
    """

    def __init__(self, url: str) -> None:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        self._failures: type[Exception] = redis.RedisError
        self._client: Any = redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_connect_timeout=ANSWER_S,
            socket_timeout=ANSWER_S,
            retry=Retry(NoBackoff(), 1),  # for a connection that was kept while Redis restarted
        )
        self._not_before = 0.0
        self.problem: str | None = None

    def _ask(self, work: Callable[[], T]) -> T:
        if time.monotonic() < self._not_before:
            raise StoreAway
        if self.problem is not None:  # one tries, and the others do not wait with it
            self._not_before = time.monotonic() + 2 * ANSWER_S + AGAIN_S
        try:
            answer = work()
        except self._failures as error:
            self._not_before = time.monotonic() + AGAIN_S
            if self.problem is None:
                log.error("The shared store does not answer: %s", error)
            self.problem = StoreAway().message
            raise StoreAway from error
        if self.problem is not None:
            self.problem, self._not_before = None, 0.0
            log.warning("The shared store answers again")
        return answer

    def _together(self, *commands: Sequence[Any]) -> list[Any]:
        """The answers to commands that are carried out as one: (name, key, arguments…)."""

        def work() -> Any:
            with self._client.pipeline(transaction=len(commands) > 1) as pipeline:
                for name, key, *arguments in commands:
                    pipeline.execute_command(name, f"{PREFIX}{key}", *arguments)
                return pipeline.execute()

        return list(self._ask(work))

    def texts(self, *keys: str) -> list[str | None]:
        return self._together(*(("GET", key) for key in keys)) if keys else []

    def put(self, key: str, text: str, life_s: float = inf, *, new: bool = False) -> None:
        life = () if life_s == inf else ("PX", int(life_s * 1000))
        self._together(("SET", key, text, *life, *(["NX"] if new else [])))

    def drop(self, *keys: str) -> None:
        if keys:
            self._together(*(("DEL", key) for key in keys))

    def push(self, key: str, text: str, most: int) -> list[str]:
        push, trim = ("LPUSH", key, text), ("LTRIM", key, 0, most - 1)
        return list(self._together(push, ("LRANGE", key, most, -1), trim)[1])

    def listed(self, key: str) -> list[str]:
        return list(self._together(("LRANGE", key, 0, -1))[0])

    def add(self, key: str, numbers: Mapping[str, int]) -> dict[str, int]:
        adding = [("HINCRBY", key, name, number) for name, number in numbers.items()]
        found = self._together(*adding, ("HGETALL", key))[-1]
        return {name: int(number) for name, number in found.items()}

    def count(self, key: str, amount: int, life_s: float) -> int:
        """Add to a number that is forgotten so many seconds after its first addition."""
        begun = ("SET", key, 0, "PX", int(life_s * 1000), "NX")
        return int(self._together(begun, ("INCRBY", key, amount))[1])

    def life_s(self, key: str) -> float:
        """Seconds until a key is forgotten; 0 where there is none."""
        return max(0, int(self._together(("PTTL", key))[0])) / 1000

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        lock = self._client.lock(f"{PREFIX}lock:{key}", timeout=LOCK_S)
        if not self._ask(lambda: lock.acquire(blocking_timeout=TURN_S)):
            raise StoreAway("Another page changes the same just now. Try again in a few seconds.")
        try:
            yield
        finally:
            with suppress(self._failures):  # it ends by itself
                lock.release()


Shared = Memory | Redis


def open_store(url: str) -> Shared:
    """The Redis at this address; without any, this process's memory. Raises ValueError."""
    if not url:
        return Memory()
    try:
        return Redis(url)
    except ImportError:
        what = "it needs Redis's client. Install it with: pip install 'captionize[fleet]'"
    except ValueError as error:
        what = f"expected an address such as redis://host:6379/0: {error}"
    raise ValueError(f"CAPTIONIZE_SHARED_STORE: {what}")
