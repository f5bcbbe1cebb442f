"""Stored rows as entries for the uplink: the range each stands for, and what it holds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from agent.channels import Channels
from agent.outbox_schema import split
from agent.outbox_sql import Stored
from agent.store import Damaged
from cloud_sync.envelope import Part
from cloud_sync.uplink import Entry
from contract.errors import Tampered
from contract.ids import Epoch
from contract.record import Range


@dataclass(slots=True)
class Read:
    """Entries, and the rows among them that do not open though nobody withdrew them: they read as tombstones."""

    entries: list[Entry] = field(default_factory=list)
    torn: list[Stored] = field(default_factory=list)


def read(rows: Iterable[Stored], epochs: Mapping[int, Epoch], channels: Channels) -> Read:
    """`rows` with personal ones opened. Damaged when one names an epoch or a channel that does not exist."""
    found = Read()
    for row in rows:
        stream, number, first = split(row.id)
        if number not in epochs:
            raise Damaged("an entry names an epoch that does not exist")
        channel, plain = channels.channel(row.channel), b""
        try:
            plain = channels.opened(row)
        except Tampered:
            found.torn.append(row)
        part = Part(Range(epochs[number], stream, first, row.last), channel[1] if channel else None, plain)
        found.entries.append(Entry(row.id, part, row.boot))
    return found
