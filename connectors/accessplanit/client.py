"""Reads feeds from accessplanit: fetches pages in parallel, checks that a read is complete, and
counts every row."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import count as naturals

import httpx
import msgspec
import numpy as np
import pandas as pd

from reconciliation.ask import Ask, Range
from reconciliation.errors import CredentialsRefused, Misconfigured, SourceFailed
from reconciliation.frame import concat, wall
from reconciliation.ports import Hashes
from reconciliation.snapshot import Snapshot, among, merge
from reconciliation.spec import Clause

from ..settings import AccessplanitSettings
from ..transport import Budget, BudgetTransport, network, posting, retrying
from . import odata
from .auth import ApiKey, PasswordGrant
from .decode import Envelope, Shape, decode, first_object, hashes, holds_escapes
from .dialect import Dialect
from .feeds import FEEDS, kinds

log = logging.getLogger("hrsync.accessplanit")

PASSES = 3
"""Maximum number of reads of a feed that changes while it is read."""
BLOCK = 10_000
"""Number of records decoded together."""
KEYS_PER_REQUEST = 40
"""Maximum number of keys in one $filter. It keeps a URL below 2 kB, the longest URL seen in the
vendor's own code."""


@dataclass(frozen=True)
class Page:
    """The raw records of one page."""

    raws: list[msgspec.Raw]
    total: int | None
    """The tenant's count of the rows that match the filter; ``None`` if it gives none."""
    escapes: bool
    """Whether the page holds a JSON escape of a control character."""


def _nothing(shape: Shape) -> Snapshot:
    """Returns an empty snapshot, for a read without requests."""
    frame, _ = decode(shape, [], np.empty(0, dtype=np.int64), escapes=False)
    return Snapshot(frame)


class _Block:
    """Raw records of several pages, decoded together: building columns costs least for thousands
    of rows at once."""

    def __init__(self) -> None:
        self.raws: list[msgspec.Raw] = []
        self.escapes = False
        self._digests: list[Hashes] = []

    def add(
        self, raws: Sequence[msgspec.Raw], digests: Hashes, wanted: Hashes, escapes: bool
    ) -> None:
        """Adds the records at the positions ``wanted``. ``digests`` are those of all ``raws``."""
        self.raws.extend(raws if len(wanted) == len(raws) else [raws[i] for i in wanted.tolist()])
        self._digests.append(digests[wanted])
        self.escapes |= escapes

    def digests(self) -> Hashes:
        return np.concatenate(self._digests) if self._digests else np.empty(0, dtype=np.int64)


class AccessplanitSource:
    """Implements :class:`reconciliation.ports.Source`. It is synchronous and thread-safe."""

    def __init__(self, settings: AccessplanitSettings, dialect: Dialect, budget: Budget) -> None:
        if not settings.base_url:
            raise Misconfigured(
                "No accessplanit is configured",
                "Set HRSYNC_ACCESSPLANIT__BASE_URL.",
            )
        self.root = settings.base_url.rstrip("/")
        # A local address is the sandbox: a tenant never runs on this machine. Reports must say
        # that its people are invented.
        local = httpx.URL(self.root).host in ("127.0.0.1", "localhost", "::1")
        self.name = f"{self.root} (sandbox: invented people)" if local else self.root
        self.dialect = dialect
        self._envelope = Envelope(dialect)
        self.concurrency = settings.concurrency
        self.posting = posting(settings.attempts, settings.backoff, safe=dialect.upsert is not None)
        wire = network(limits=httpx.Limits(max_connections=settings.concurrency + 1))
        self._network = BudgetTransport(wire, budget, self._endpoint)
        self.http = httpx.Client(
            transport=retrying(self._network, settings.attempts, settings.backoff),
            timeout=settings.timeout,
            headers={"Accept": "application/json"},
            event_hooks={"response": [self._log]},
        )
        self._tokens = httpx.Client(
            transport=retrying(network(), settings.attempts, settings.backoff, post=True),
            timeout=settings.timeout,
        )
        if settings.api_key:
            self.http.auth = ApiKey(settings.api_key)
        elif settings.username and settings.password:
            url = f"{self.root}/api/v2/{dialect.token_path}"
            self.http.auth = PasswordGrant(self._tokens, url, settings.username, settings.password)
        else:
            raise Misconfigured(
                "accessplanit is configured without credentials",
                "Set HRSYNC_ACCESSPLANIT__API_KEY, or __USERNAME and __PASSWORD.",
            )

    def close(self) -> None:
        """Closes the connections."""
        self.http.close()
        self._tokens.close()

    @property
    def requests(self) -> int:
        """Number of requests so far, including retries."""
        return self._network.made

    def kinds(self, feed: str) -> Mapping[str, str]:
        """Maps the feed's columns to their kinds."""
        return kinds(FEEDS[feed])

    def updated_column(self, feed: str, column: str | None) -> str | None:
        """Returns ``column``, or ``None`` if this tenant has no date of the last change."""
        return column if self.dialect.date_updated else None

    def read(
        self,
        feed: str,
        columns: Sequence[str],
        custom: Sequence[str],
        ask: Ask,
        known: Hashes,
        seed: str,
    ) -> Snapshot:
        """Reads a feed.

        The frame has ``columns``, ``custom`` (as text) and ``hash``. The read is complete if the
        pages joined without a shift and, where the tenant counts, the number of rows is right. A
        feed that changes while it is read is read up to three times.

        Raises:
            CredentialsRefused, SourceFailed: the feed cannot be read at all.
            Misconfigured: the tenant or this program does not know the feed or a field.
        """
        shape = Shape(feed, columns, custom, self.dialect)
        number = int(seed, 16)
        skip = known if ask.skip_known else known[:0]
        passes = [
            p
            for filter_ in self._filters(shape, ask)
            for p in self._settled(shape, filter_, skip, number)
        ]
        return merge(
            passes or [_nothing(shape)], "id", "updated_at" if "updated_at" in columns else None
        )

    # -- filters ----------------------------------------------------------------------------------

    def _filters(self, shape: Shape, ask: Ask) -> Iterator[str]:
        if ask.keys is not None:
            width = KEYS_PER_REQUEST
            for start in range(0, len(ask.keys), width):
                keys = tuple(
                    odata.Compare(shape.wire[ask.by or "id"], "eq", key)
                    for key in ask.keys[start : start + width]
                )
                yield from odata.filters(
                    [odata.AnyOf(keys)], self.dialect.date_literals, self.dialect.or_filters
                )
            return
        conditions: list[odata.Compare | odata.AnyOf] = [
            self._clause(shape, clause) for clause in ask.clauses
        ]
        for range_ in (*([ask.range] if ask.range else []), *ask.also):
            conditions += self._range(shape, range_)
        yield from odata.filters(conditions, self.dialect.date_literals, self.dialect.or_filters)

    def _clause(self, shape: Shape, clause: Clause) -> odata.AnyOf:
        # Both "In Progress" and "InProgress": which one the tenant uses is not known, and the
        # server may compare exactly.
        spellings = dict.fromkeys(
            spelling for value in clause.values for spelling in (value, value.replace(" ", ""))
        )
        return odata.AnyOf(
            tuple(odata.Compare(shape.wire[clause.column], "eq", value) for value in spellings)
        )

    def _range(self, shape: Shape, range_: Range) -> list[odata.Compare | odata.AnyOf]:
        field = shape.wire[range_.column]
        low, high = self._naive(range_.low), self._naive(range_.high)
        return [
            *([odata.Compare(field, "ge", low)] if low is not None else []),
            *([odata.Compare(field, "lt", high)] if high is not None else []),
        ]

    def _naive(self, value: datetime | date | None) -> datetime | date | None:
        return wall(value, self.dialect.zone) if isinstance(value, datetime) else value

    # -- reading ----------------------------------------------------------------------------------

    def _settled(self, shape: Shape, filter_: str, known: Hashes, seed: int) -> list[Snapshot]:
        """Reads until one pass is complete, at most :data:`PASSES` times. Each record is taken
        from the first pass that shows it."""
        passes: list[Snapshot] = []
        seen: Hashes = np.empty(0, dtype=np.int64)
        for attempt in range(PASSES):
            snapshot, digests = self._pass(shape, filter_, known, seen, seed)
            passes.append(snapshot)
            if snapshot.complete:
                break
            log.warning(
                "%s moved while it was read (pass %d of %d)", shape.feed, attempt + 1, PASSES
            )
            seen = np.unique(np.concatenate([seen, digests]))
        return [replace(p, complete=passes[-1].complete) for p in passes]

    def _pass(
        self, shape: Shape, filter_: str, known: Hashes, seen: Hashes, seed: int
    ) -> tuple[Snapshot, Hashes]:
        """Reads all pages once. Returns the records whose hashes are neither in ``known`` nor in
        ``seen``, and the hashes of all records."""
        frames: list[pd.DataFrame] = []
        rejected: list[pd.DataFrame] = []
        digests: list[Hashes] = []
        block = _Block()

        def flush() -> None:
            nonlocal block
            frame, bad = decode(shape, block.raws, block.digests(), escapes=block.escapes)
            frames.append(frame)
            rejected.append(bad)
            block = _Block()

        read = skipped = rows = 0
        appeared: tuple[str, ...] = ()
        vanished: set[str] | None = None
        steady, total = True, None
        last: msgspec.Raw | None = None
        for page in self._pages(shape, filter_):
            raws, total = page.raws, page.total
            if last is not None and raws:
                # Each page repeats the last row of the one before.
                if shape.same(bytes(raws[0]), bytes(last)):
                    raws = raws[1:]
                else:
                    steady = False
            rows += len(raws)
            last = page.raws[-1] if page.raws else last
            appeared = appeared or shape.appeared(first_object(page.raws[:1]))
            if page.raws and vanished != set():
                absent = shape.absent_from(page.raws)
                vanished = absent if vanished is None else vanished & absent
            of_page = hashes(raws, seed)
            digests.append(of_page)
            fresh = ~among(of_page, seen)
            unchanged = among(of_page, known) & fresh
            read += int(fresh.sum())
            skipped += int(unchanged.sum())
            block.add(raws, of_page, np.flatnonzero(fresh & ~unchanged), page.escapes)
            if len(block.raws) >= BLOCK:
                flush()
        flush()
        complete = steady and (total is None or total == rows)
        snapshot = Snapshot(
            concat(frames),
            complete,
            concat(rejected),
            read,
            skipped,
            0,
            appeared,
            tuple(sorted(vanished or ())),
        )
        return snapshot, np.concatenate(digests)

    def _pages(self, shape: Shape, filter_: str) -> Iterator[Page]:
        """Yields all pages in order. Each begins with the last row of the one before, which reveals
        rows that have shifted between requests."""
        size = self.dialect.page_size
        first = self._page(shape, filter_, size, 0)
        yield first
        got = len(first.raws)
        if got == 0 or (first.total is not None and got >= first.total):
            return
        if first.total is None and got < size:
            # Fewer rows than requested, and no count: either this is the end, or the server's
            # maximum page is smaller. The next page shows which.
            second = self._page(shape, filter_, got, max(1, got - 1))
            yield second
            if len(second.raws) < got:
                return
            size, start = got, 2
        else:
            size, start = got, 1
        step = max(1, size - 1)
        counted = first.total is not None
        last = -(-(int(first.total or 0) - 1) // step)  # Rounded up.
        offsets = (n * step for n in (range(start, last) if counted else naturals(start)))
        with ThreadPoolExecutor(self.concurrency, thread_name_prefix="accessplanit") as pool:
            ahead: list[Future[Page]] = []
            try:
                while True:
                    while (
                        len(ahead) < self.concurrency
                        and (offset := next(offsets, None)) is not None
                    ):
                        ahead.append(pool.submit(self._page, shape, filter_, size, offset))
                    if not ahead:
                        return
                    page = ahead.pop(0).result()
                    yield page
                    if not counted and len(page.raws) < size:
                        return
            finally:
                for future in ahead:
                    future.cancel()

    def _page(self, shape: Shape, filter_: str, top: int, skip: int) -> Page:
        select = list(shape.wire.values())
        query = odata.options(
            select, filter_, [shape.wire["id"]], top, skip, self.dialect.count_key is not None
        )
        response = self.get(f"api/v2/{shape.feed}", query)
        raws, total = self._envelope.split(response.content)
        return Page(raws, total, holds_escapes(response.content))

    def get(self, path: str, query: dict[str, str] | None = None) -> httpx.Response:
        """Sends a GET for a path below the tenant's root. Returns the answer if it is 2xx.

        Raises:
            CredentialsRefused, SourceFailed, Misconfigured: it is not. The message names the status
                and the path, never the query.
        """
        try:
            response = self.http.get(f"{self.root}/{path}", params=query)
        except httpx.HTTPError as error:
            raise SourceFailed(
                f"accessplanit at {self.root} does not answer ({type(error).__name__})",
                "Check the address and the network, then run again. Nothing was lost.",
            ) from None
        if response.is_success:
            return response
        status = response.status_code
        if status == 403:
            raise CredentialsRefused(
                f"accessplanit does not let this service user read {path} (403)",
                "Ask the accessplanit administrator to grant the permission.",
            )
        if status == 404:
            raise Misconfigured(
                f"accessplanit at {self.root} has no {path} (404)",
                "Check base_url and the feed's name.",
            )
        if status == 400:
            raise Misconfigured(
                f"accessplanit does not understand the query for {path} (400)",
                "Run 'hrsync doctor': it tests each assumption about the API and names the "
                "setting to change.",
            )
        raise SourceFailed(
            f"accessplanit answered {status} for {path} after all retries",
            "Run again later. Nothing was lost.",
        )

    def count(self, feed: str) -> int:
        """Returns the number of records of a feed. Where the tenant does not count, all keys are
        read.

        Raises:
            CredentialsRefused, SourceFailed, Misconfigured: as in :meth:`read`.
        """
        if self.dialect.count_key is not None:
            response = self.get(f"api/v2/{feed}", odata.options(["ID"], "", [], 1, 0, True))
            total = self._envelope.split(response.content)[1]
            if total is not None:
                return total
        shape = Shape(feed, ["id"], (), self.dialect)
        # Each page but the first repeats one row.
        return sum(
            len(page.raws) - (number > 0) for number, page in enumerate(self._pages(shape, ""))
        )

    def _endpoint(self, request: httpx.Request) -> str:
        """Returns the module whose request budget a request uses."""
        parts = request.url.path.split("/api/v2/")
        return parts[1].split("/")[0].lower() if len(parts) > 1 else "metadata"

    def _log(self, response: httpx.Response) -> None:
        log.debug(
            "%s %s %d",
            response.request.method,
            response.request.url.path.rsplit("/", 1)[-1],
            response.status_code,
        )
