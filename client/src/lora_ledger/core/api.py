"""The ledger as commands ask it: every failure is one line for the person at the terminal. One layer over
`transport`."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Callable, TypeVar
from urllib.parse import urlencode

from .errors import CommandError, DeniedError, RefusedError, RetryLaterError, SupersededError
from .language import join_texts, t
from .settings import Settings
from .text import clean
from .transport import USER_AGENT, Ledger, backoff, stream
from .types import as_list


class Api:
    """The ledger, asked by a person: every failure is a `CommandError` that says what to do about it."""

    def __init__(self, settings: Settings, timeout: float = 30.0) -> None:
        missing = [n for n, v in (("LEDGER_URL", settings.url), ("LEDGER_KEY", settings.key)) if not v]
        if missing:
            raise CommandError(
                t(
                    "{missing} {be} not set: `lora-ledger login` stores them, or set them in the environment",
                    missing=join_texts(" and ", missing),
                    be="is" if len(missing) == 1 else "are",
                )
            )
        self.url = settings.url or ""
        self.ledger = Ledger(self.url, settings.key, timeout)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, keep: Iterable[str] = ()
    ) -> dict[str, Any]:
        """The answer's JSON object; `keep` as for `Ledger.ask`. Raises CommandError."""
        try:
            return self.ledger.ask(method, path, body, headers, keep=keep)
        except RetryLaterError as error:
            raise CommandError(
                t("the ledger at {url} did not answer: {error}", url=self.url, error=error), asked=True
            ) from error
        except DeniedError as error:
            hint = (
                t("the key is wrong, expired or revoked; `lora-ledger login` stores another")
                if error.status == 401
                else t("this key may not do that (box keys see only their own runs)")
            )
            raise CommandError(t("{error}: {hint}", error=error, hint=hint), asked=True, status=error.status) from error
        except (SupersededError, RefusedError) as error:
            raise CommandError(str(error), asked=True, status=error.status) from error

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """GET with the query's values that are not None. Raises CommandError."""
        given = {k: v for k, v in query.items() if v is not None}
        return self.ask("GET", path + ("?" + query_of(given) if given else ""))

    def insist(self, method: str, path: str, body: Any) -> dict[str, Any]:
        """Like `ask`, but what may pass is tried again for a while. Raises CommandError."""
        return patiently(lambda: self.ledger.ask(method, path, body))

    def pages(self, path: str, limit: int | None = None, **query: Any) -> Iterator[dict[str, Any]]:
        """Items of a list, page after page, at most `limit`. Raises CommandError."""
        cursor = None
        while limit is None or limit > 0:
            size = 200 if limit is None else min(200, limit)
            answer = self.get(path, limit=size, cursor=cursor, **query)
            items = as_list(answer.get("items"))
            if items is None:
                raise CommandError(t("the ledger's answer is no list; is the address right?"))
            if not all(isinstance(item, dict) for item in items):
                raise CommandError(t("the ledger's answer is no list of objects; is the address right?"))
            yield from items[:limit]
            if limit is not None:
                limit -= len(items)
            cursor = answer.get("next_cursor")
            if not cursor:
                return

    def stream(self, path: str, timeout: float) -> AbstractContextManager[http.client.HTTPResponse]:
        """The open answer to a GET, for bodies that are no JSON. A context manager; raises what `stream` raises."""
        return stream(
            self.url + path, {"Authorization": f"Bearer {self.ledger.key}", "User-Agent": USER_AGENT}, timeout
        )


T = TypeVar("T")


def patiently(call: Callable[[], T], tries: int = 6) -> T:
    """The result of a call of the ledger; what may pass is tried again. Raises CommandError."""
    for attempt in range(tries - 1):
        try:
            return call()
        except RetryLaterError as error:
            time.sleep(error.delay if error.delay is not None else backoff(attempt))
        except (DeniedError, RefusedError, SupersededError) as error:
            raise CommandError(str(error), asked=True, status=error.status) from error
    try:
        return call()
    except RetryLaterError as error:
        raise CommandError(t("the ledger did not answer: {error}", error=error), asked=True) from error
    except (DeniedError, RefusedError, SupersededError) as error:
        raise CommandError(str(error), asked=True, status=error.status) from error


def query_of(values: dict[str, Any]) -> str:
    """A URL's query. Words of a command line that are no UTF-8 would break it."""
    return urlencode({name: clean(value) for name, value in values.items()})
