"""What can still be read of a damaged SQLite file, table by table, row by row, around the pages that cannot be read.

Nothing here knows what the tables mean: ids, numbers and sealed bytes are copied as they are.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from agent.sqlite import Connection, DatabaseError, IntegrityError, InterfaceError, connect

LIMIT_S = 30.0
"""After this the rest is given up: commits wait meanwhile, and what is set aside can be read at leisure."""
ROWS_A_TURN = 500
ROWS_A_STATEMENT = 100
MAX_ROWID = 2**63 - 1

_Row = tuple[object, ...]


@dataclass(slots=True)
class Salvaged:
    """How many rows of each table were read, and of which some were not."""

    rows: dict[str, int] = field(default_factory=dict)
    torn: set[str] = field(default_factory=set)

    @property
    def is_whole(self) -> bool:
        """True when nothing was found to be missing; what a page silently lost is not found."""
        return not self.torn


def salvage(damaged: Path, fresh: Connection, limit_s: float = LIMIT_S) -> Salvaged:
    """Copy into the tables of `fresh` whatever reads of theirs in `damaged`; OperationalError when there is no room."""
    end, salvaged = time.monotonic() + limit_s, Salvaged()
    tables = fresh.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    with closing(connect(damaged)) as source:
        source.text_factory = _text
        with suppress(DatabaseError):
            source.execute("PRAGMA writable_schema = ON")  # tables that the schema still names sensibly do read then
        for name, sql in tables.fetchall():
            walk = _by_key if "WITHOUT ROWID" in sql.upper() else _by_rowid
            table = _Table(source, fresh, name, salvaged, end)
            fresh.execute("BEGIN IMMEDIATE")
            walk(table)
            fresh.execute("COMMIT")
    return salvaged


class _Table:
    """One table on its way: rows from `source`, into the columns that both files have."""

    def __init__(self, source: Connection, fresh: Connection, name: str, salvaged: Salvaged, end: float) -> None:
        self.source, self.fresh, self.name, self.end = source, fresh, name, end
        self.salvaged = salvaged
        salvaged.rows[name] = 0
        own = [row[1] for row in fresh.execute(f"PRAGMA table_info({name})")]
        try:
            theirs = {row[1] for row in source.execute(f"PRAGMA table_info({name})")}
        except DatabaseError:
            theirs = set()
        self.columns = [column for column in own if column in theirs]
        if not self.columns:
            self.tear()
        self.key = [
            row[1] for row in sorted(fresh.execute(f"PRAGMA table_info({name})"), key=lambda row: row[5]) if row[5]
        ]

    @property
    def is_over(self) -> bool:
        """True when there is nothing to read, or no time left."""
        late = time.monotonic() > self.end
        if late:
            self.tear()
        return late or not self.columns

    def tear(self) -> None:
        """Something of this table was not read."""
        self.salvaged.torn.add(self.name)

    def take(self, rows: Sequence[_Row]) -> None:
        """Write rows; one that does not fit the table is no row of it."""
        for start in range(0, len(rows), ROWS_A_STATEMENT):
            some = rows[start : start + ROWS_A_STATEMENT]
            try:
                self._insert(some)
            except (IntegrityError, InterfaceError):
                for row in some:
                    try:
                        self._insert([row])
                    except (IntegrityError, InterfaceError):
                        self.tear()

    def _insert(self, rows: Sequence[_Row]) -> None:
        marks = ",".join([f"({','.join('?' * len(self.columns))})"] * len(rows))
        into = f"INSERT OR REPLACE INTO {self.name} ({','.join(self.columns)})"
        self.fresh.execute(f"{into} VALUES {marks}", [value for row in rows for value in row])
        self.salvaged.rows[self.name] += len(rows)

    def read(self, sql: str, values: Sequence[object] = ()) -> Iterator[_Row]:
        """Rows until the end or until the first that does not read, which ends in DatabaseError."""
        yield from self.source.execute(sql, values)


def _by_rowid(table: _Table) -> None:
    """Upwards from the start; around what does not read by asking for ever higher ids."""
    after = -1
    columns = ",".join(table.columns)
    while not table.is_over:
        rows: list[_Row] = []
        try:
            sql = f"SELECT rowid, {columns} FROM {table.name} WHERE rowid > ? ORDER BY rowid LIMIT ?"  # noqa: S608
            rows.extend(table.read(sql, (after, ROWS_A_TURN)))  # keeps what came before an error
        except DatabaseError:
            table.tear()
            last = _rowid(rows, after)
            table.take([row[1:] for row in rows])
            found = _next_that_reads(table, last)
            if found is None:
                return
            after = found
            continue
        table.take([row[1:] for row in rows])
        if len(rows) < ROWS_A_TURN or _rowid(rows, after) <= after:
            return
        after = _rowid(rows, after)


def _rowid(rows: Sequence[_Row], otherwise: int) -> int:
    last = rows[-1][0] if rows else otherwise
    return last if isinstance(last, int) else otherwise


def _next_that_reads(table: _Table, after: int) -> int | None:
    """The lowest id above `after` from which reading goes on: in ever longer strides, the last of them halved."""
    stride = 1
    while not _reads_above(table, after + stride):
        stride *= 2
        if after + stride > MAX_ROWID or table.is_over:
            return None
    low, high = after + stride // 2, after + stride
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _reads_above(table, middle) else (middle, high)
    return high


def _reads_above(table: _Table, rowid: int) -> bool:
    """True when there is a row above `rowid` and the first of them reads."""
    sql = f"SELECT {','.join(table.columns)} FROM {table.name} WHERE rowid > ? ORDER BY rowid LIMIT 1"  # noqa: S608
    try:
        return bool(list(table.read(sql, (rowid,))))
    except DatabaseError:
        return False


def _by_key(table: _Table) -> None:
    """From both ends; such tables are small."""
    columns, key = ",".join(table.columns), ",".join(table.key)
    backwards = ",".join(f"{column} DESC" for column in table.key)
    for order in (key, backwards):
        if table.is_over:
            return
        rows: list[_Row] = []
        try:
            rows.extend(table.read(f"SELECT {columns} FROM {table.name} ORDER BY {order}"))  # noqa: S608
        except DatabaseError:
            table.tear()
            table.take(rows)
            continue
        table.take(rows)
        return


def _text(raw: bytes) -> str:
    """A damaged page may hold anything where text was."""
    return raw.decode(errors="replace")
