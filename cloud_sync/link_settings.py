"""How a gateway's link to its hub behaves: what an installer may change of it, with the defaults that were measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Limits in records, seconds and bytes; `max_bytes_per_s` None sends as fast as the link takes it."""

    batch_records: int = 1000
    """Most records in a message of fresh values; one of a backlog holds more."""
    keepalive_s: int = 10
    """A link that is open but dead is found out within two of these."""
    publish_timeout_s: float = 10.0
    """A connection, subscription or message that the broker does not acknowledge for this long is a lost link."""
    resend_first_s: float = 10.0
    """A message without the hub's receipt is sent again after this long, then after twice as long."""
    max_bytes_per_s: float | None = None
    """Of what is published; alerts are counted and never delayed."""
