"""What could not be stored, kept for a while with the reason, so that a mistake can be found and nothing blocks."""

from datetime import datetime, timedelta

from cloud_sync.blob import to_ms
from contract.ids import GatewayId
from hub.store.database import Connection

MOST_PAYLOADS = 200
MOST_PAYLOAD_BYTES = 64 * 2**10
"""Of a longer payload the beginning is kept."""
KEPT_FOR = timedelta(days=7)


def keep(connection: Connection, gateway: GatewayId | None, at: datetime, reason: str, payload: bytes) -> None:
    """Add one payload; the oldest beyond the limits of number and age are forgotten."""
    row = (to_ms(at), gateway, reason, payload[:MOST_PAYLOAD_BYTES])
    connection.execute("INSERT INTO quarantine (at_ms, gateway, reason, payload) VALUES (?, ?, ?, ?)", row)
    connection.execute(
        "DELETE FROM quarantine WHERE at_ms < ? OR id <= (SELECT max(id) FROM quarantine) - ?",
        (to_ms(at - KEPT_FOR), MOST_PAYLOADS),
    )
