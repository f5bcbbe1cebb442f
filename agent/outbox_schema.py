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


def span(stream: Stream) -> tuple[int, int]:
    """The lowest and the highest row id of a stream."""
    return row_id(stream, 0, 0), row_id(stream, MAX_EPOCH_NUMBER, MAX_SEQUENCE)
