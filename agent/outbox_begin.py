"""The beginning of an epoch: what an earlier run left in the file, what may have been lost with one, and the marks."""

import json
from collections.abc import Iterable
from datetime import datetime

from agent import outbox_totals, receipt_ledger
from agent.group import Loss
from agent.outbox_schema import MAX_EPOCH_NUMBER, MAX_SEQUENCE, SEQUENCE_BITS, STREAMS, row_id
from agent.outbox_witness import Seen
from agent.sqlite import Connection
from agent.store_file import Cause, Origin
from cloud_sync.blob import from_ms, to_ms
from cloud_sync.correction import Settle
from contract.boot import TimeBase
from contract.errors import StoreFull
from contract.ids import DeviceId, Epoch, PersonId

MAX_DOWNTIMES = 1000
DOWNTIME_MARGIN_MS = 1000
"""What was handed to this gateway less than this before its last commit may still have been in a kernel's buffer."""


def begin_epoch(connection: Connection, epoch: Epoch) -> dict[int, Epoch]:
    """Add `epoch`; every epoch by its number. Those of which nothing waits are let go of, the latest excepted."""
    for (number,) in connection.execute(
        "SELECT no FROM epoch WHERE no <= (SELECT max(no) FROM epoch) - ?", (receipt_ledger.KEPT_EPOCHS,)
    ).fetchall():
        ids = [row_id(stream, number, sequence) for stream in STREAMS for sequence in (0, MAX_SEQUENCE)]
        connection.execute(
            "DELETE FROM epoch WHERE no = ?"
            " AND NOT EXISTS (SELECT 1 FROM entry WHERE id BETWEEN ? AND ?)"
            " AND NOT EXISTS (SELECT 1 FROM entry WHERE id BETWEEN ? AND ?)",
            (number, *ids),
        )
    number = connection.execute("INSERT INTO epoch (epoch) VALUES (?) RETURNING no", (epoch,)).fetchone()[0]
    if number > MAX_EPOCH_NUMBER:
        raise StoreFull("the outbox has seen more restarts than its row ids can hold; move the file away")
    receipt_ledger.shorten(connection)
    return {no: Epoch(text) for no, text in connection.execute("SELECT no, epoch FROM epoch")}


def marks(connection: Connection, settle: Settle) -> tuple[datetime | None, dict[DeviceId, datetime]]:
    """When the last run was last alive, None when there was none; when each thing was last heard."""
    alive_ms, things, boot, zero_ms = connection.execute("SELECT alive_ms, things, boot, zero_ms FROM mark").fetchone()
    moved = settle(TimeBase(boot, zero_ms) if boot else None)
    last = {DeviceId(device): moved(from_ms(at_ms)) for device, at_ms in json.loads(things).items()}
    return (moved(from_ms(alive_ms)) if alive_ms else None), last


def note_downtime(connection: Connection, alive: datetime, at: datetime) -> None:
    """The gateway was dead from shortly before `alive` to `at`."""
    connection.execute("INSERT INTO downtime VALUES (?, ?)", (to_ms(alive) - DOWNTIME_MARGIN_MS, to_ms(at)))
    connection.execute("DELETE FROM downtime WHERE rowid <= (SELECT max(rowid) FROM downtime) - ?", (MAX_DOWNTIMES,))


def downtimes(connection: Connection) -> list[tuple[datetime, datetime]]:
    """When this gateway was dead, the latest times."""
    return [
        (from_ms(start), from_ms(end)) for start, end in connection.execute("SELECT start_ms, end_ms FROM downtime")
    ]


def mend(connection: Connection) -> int | None:
    """Make a salvaged file sound again; how many records it lacks by its own count, None when that is lost, too."""
    has_mark = connection.execute("SELECT count(*) FROM mark").fetchone()[0]
    expected = sum(outbox_totals.read(connection).records.values()) if has_mark else None
    if expected == 0 and not connection.execute("SELECT commits FROM mark").fetchone()[0]:
        expected = None  # the mark is that of a new file
    connection.execute("INSERT OR IGNORE INTO mark (id, alive_ms, withheld, things) VALUES (1, 0, 0, '{}')")
    # Of an entry whose epoch or channel is gone nobody can tell what it was; one whose numbers do not fit is none.
    connection.execute(
        f"DELETE FROM entry WHERE id < 0 OR (id >> {SEQUENCE_BITS} & {MAX_EPOCH_NUMBER}) NOT IN (SELECT no FROM epoch)"  # noqa: S608
        " OR (channel IS NOT NULL AND channel NOT IN (SELECT id FROM channel)) OR typeof(blob) != 'blob'"
        f" OR typeof(last) != 'integer' OR last NOT BETWEEN max(1, id & {MAX_SEQUENCE}) AND {MAX_SEQUENCE}"
    )
    outbox_totals.count_anew(connection)
    found = sum(outbox_totals.read(connection).records.values())
    return None if expected is None else max(0, expected - found)


def loss_of(origin: Origin, missing: int | None, seen: Seen | None, commits: int) -> bool:
    """True when something is lost: by what became of the file, what it lacks, and what was seen of it before."""
    match origin.cause:
        case Cause.CREATED:
            return seen is not None and seen.commits > 0
        case Cause.DAMAGED:
            return origin.may_lack or missing != 0
        case Cause.KEPT:
            return seen is not None and seen.commits > commits  # an older copy was put in its place
        case Cause.MOVED:
            return False


def note_loss(connection: Connection, start_ms: int, end_ms: int, person: PersonId | None = None) -> None:
    """Let a loss be declared, now or after the next start; what is still to be declared of the same grows instead."""
    before = connection.execute("SELECT id FROM loss WHERE person IS ?", (person,)).fetchone()
    if before is None:
        insert = "INSERT INTO loss (start_ms, end_ms, person) VALUES (?, ?, ?)"
        connection.execute(insert, (min(start_ms, end_ms), end_ms, person))
        return
    connection.execute(
        "UPDATE loss SET start_ms = min(start_ms, ?), end_ms = max(end_ms, ?) WHERE id = ?",
        (start_ms, end_ms, before[0]),
    )


def losses(connection: Connection) -> tuple[Loss, ...]:
    """What is still to be declared."""
    found = connection.execute("SELECT id, start_ms, end_ms, person FROM loss ORDER BY id")
    return tuple(
        Loss(id_, from_ms(start), from_ms(end), person and PersonId(person)) for id_, start, end, person in found
    )


def settle_losses(connection: Connection, declared: Iterable[Loss]) -> None:
    """The losses are declared in this transaction; what one has grown by since is still to be declared."""
    for loss in declared:
        values = (loss.id, to_ms(loss.start), to_ms(loss.end))
        connection.execute("DELETE FROM loss WHERE id = ? AND start_ms >= ? AND end_ms <= ?", values)
