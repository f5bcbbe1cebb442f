"""What could not be stored, kept for a while with the reason, so that a mistake can be found and nothing blocks.

It may be of a person, so it rests sealed: a copy of the database without the key file beside it tells nothing.
"""

import os
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from cloud_sync.blob import to_ms
from contract.errors import Fault, Misconfigured, Tampered
from contract.ids import GatewayId
from hub.state_folder import write_private
from hub.store.database import Connection

MOST_PAYLOADS = 200
MOST_PAYLOAD_BYTES = 64 * 2**10
"""Of a longer payload the beginning is kept."""
KEPT_FOR = timedelta(days=7)
KEY_NAME = "quarantine.key"
_NONCE_BYTES = 12


class Quarantine:
    """The quarantine table of one database, with the key its payloads are sealed under."""

    def __init__(self, key: bytes) -> None:
        self._cipher = ChaCha20Poly1305(key)

    def keep(
        self, connection: Connection, gateway: GatewayId | None, at: datetime, reason: str, payload: bytes
    ) -> None:
        """Add one payload; the oldest beyond the limits of number and age are forgotten."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, payload[:MOST_PAYLOAD_BYTES], None)
        row = (to_ms(at), gateway, reason, sealed)
        connection.execute("INSERT INTO quarantine (at_ms, gateway, reason, payload) VALUES (?, ?, ?, ?)", row)
        connection.execute(
            "DELETE FROM quarantine WHERE at_ms < ? OR id <= (SELECT max(id) FROM quarantine) - ?",
            (to_ms(at - KEPT_FOR), MOST_PAYLOADS),
        )

    def payloads(self, connection: Connection) -> list[tuple[str, bytes]]:
        """Reason and payload of everything kept, oldest first; Tampered when one was changed."""
        rows = connection.execute("SELECT reason, payload FROM quarantine ORDER BY id").fetchall()
        try:
            return [
                (reason, self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None))
                for reason, sealed in rows
            ]
        except InvalidTag as error:
            raise Tampered("a quarantined payload is not what was sealed") from error


def quarantine_of(database: Path) -> Quarantine:
    """The quarantine of the database at `database`; its key is drawn at the first use."""
    path = database.with_name(KEY_NAME)
    try:
        if not path.exists():
            write_private(path, ChaCha20Poly1305.generate_key().hex())
        return Quarantine(bytes.fromhex(path.read_text("ascii")))
    except (OSError, ValueError) as error:
        fault = Fault(
            str(path), 0, "the key of the quarantine cannot be used", "Restore it, or remove it to draw a new one"
        )
        raise Misconfigured(fault) from error
