"""The outbox's tables, and how a record's identity is laid into a row id.

id = stream (1 bit) | epoch number (22 bits) | first sequence (40 bits): the table is read, drained and cut by ranges of
its primary key, in the order of writing, without a second index.
"""

from contract.record import Stream

MIGRATIONS = (
    """
    CREATE TABLE epoch (no INTEGER PRIMARY KEY AUTOINCREMENT, epoch TEXT NOT NULL);
    CREATE TABLE channel (
        id INTEGER PRIMARY KEY AUTOINCREMENT, person TEXT NOT NULL, purpose TEXT NOT NULL, state BLOB,
        UNIQUE (person, purpose)
    );
    CREATE TABLE entry (
        id INTEGER PRIMARY KEY, last INTEGER NOT NULL, samples INTEGER NOT NULL, channel INTEGER, blob BLOB NOT NULL
    );
    CREATE TABLE mark (
        id INTEGER PRIMARY KEY CHECK (id = 1), alive_ms INTEGER NOT NULL, withheld INTEGER NOT NULL,
        things TEXT NOT NULL
    );
    INSERT INTO mark VALUES (1, 0, 0, '{}');
    CREATE TABLE downtime (start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL);
    CREATE TABLE alarm (rule TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID
    """,
    """
    ALTER TABLE entry ADD COLUMN boot TEXT;
    CREATE TABLE receipted (
        epoch INTEGER NOT NULL, stream INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
        PRIMARY KEY (epoch, stream, first)
    ) WITHOUT ROWID
    """,
    """
    ALTER TABLE mark ADD COLUMN boot TEXT;
    ALTER TABLE mark ADD COLUMN zero_ms INTEGER
    """,
    """
    ALTER TABLE mark ADD COLUMN commits INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE mark ADD COLUMN alert_records INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE mark ADD COLUMN alert_bytes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE mark ADD COLUMN data_records INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE mark ADD COLUMN data_bytes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE mark ADD COLUMN thinned_to INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE mark ADD COLUMN thinned_bytes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE mark ADD COLUMN store_full INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE mark ADD COLUMN thinned INTEGER NOT NULL DEFAULT 0;
    UPDATE mark SET
        (alert_records, alert_bytes) = (
            SELECT ifnull(sum(last - (id & 0xffffffffff) + 1), 0), ifnull(sum(length(blob)), 0)
            FROM entry WHERE id < 1 << 62
        ),
        (data_records, data_bytes) = (
            SELECT ifnull(sum(last - (id & 0xffffffffff) + 1), 0), ifnull(sum(length(blob)), 0)
            FROM entry WHERE id >= 1 << 62
        );
    CREATE TABLE loss (
        id INTEGER PRIMARY KEY AUTOINCREMENT, start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL, person TEXT
    )
    """,
)

SEQUENCE_BITS = 40
EPOCH_BITS = 22
MAX_SEQUENCE = (1 << SEQUENCE_BITS) - 1
MAX_EPOCH_NUMBER = (1 << EPOCH_BITS) - 1
STREAMS = (Stream.ALERT, Stream.DATA)
"""By the number that stands for each in the file."""


def row_id(stream: Stream, epoch_number: int, first: int) -> int:
    """The row id of an entry that starts at sequence `first`."""
    return STREAMS.index(stream) << (SEQUENCE_BITS + EPOCH_BITS) | epoch_number << SEQUENCE_BITS | first


def split(id_: int) -> tuple[Stream, int, int]:
    """(stream, epoch number, first sequence) of a row id."""
    stream = STREAMS[id_ >> (SEQUENCE_BITS + EPOCH_BITS)]
    return stream, id_ >> SEQUENCE_BITS & MAX_EPOCH_NUMBER, id_ & MAX_SEQUENCE


def records_of(id_: int, last: int) -> int:
    """How many records an entry holds."""
    return last - (id_ & MAX_SEQUENCE) + 1


def span(stream: Stream) -> tuple[int, int]:
    """The lowest and the highest row id of a stream."""
    return row_id(stream, 0, 0), row_id(stream, MAX_EPOCH_NUMBER, MAX_SEQUENCE)
