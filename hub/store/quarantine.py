"""What could not be stored, kept for a while with the reason, so that a mistake can be found and nothing blocks.

It may be of a person, so it rests sealed: a copy of the database without the key file in the hub's state folder tells
nothing.
"""

import os
from datetime import timedelta
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from cloud_sync.blob import to_ms
from contract.errors import Fault, Misconfigured, Tampered
from hub.state_folder import write_private
from hub.store.selection import Row
from hub.store.writing import Quarantined

MOST_PAYLOADS = 200
MOST_PAYLOAD_BYTES = 64 * 2**10
"""Of a longer payload the beginning is kept."""
KEPT_FOR = timedelta(days=7)
KEY_NAME = "quarantine.key"
COLUMNS = "at_ms, gateway, reason, payload"
_NONCE_BYTES = 12


class Seal:
    """The key that quarantined payloads rest under."""

    def __init__(self, key: bytes) -> None:
        self._cipher = ChaCha20Poly1305(key)

    def row(self, refused: Quarantined) -> Row:
        """The row of COLUMNS that keeps one payload."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, refused.payload[:MOST_PAYLOAD_BYTES], None)
        return (to_ms(refused.at), refused.gateway, refused.reason, sealed)

    def opened(self, sealed: bytes) -> bytes:
        """The payload that was sealed; Tampered when it was changed."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        except InvalidTag as error:
            raise Tampered("a quarantined payload is not what was sealed") from error


def expired_ms(newest_ms: int) -> int:
    """Payloads that came before are forgotten when one comes at `newest_ms`."""
    return newest_ms - KEPT_FOR // timedelta(milliseconds=1)


def seal_beside(database: Path) -> Seal:
    """The seal whose key lies in the folder of `database`; drawn at the first use."""
    path = database.with_name(KEY_NAME)
    try:
        if not path.exists():
            write_private(path, ChaCha20Poly1305.generate_key().hex())
        return Seal(bytes.fromhex(path.read_text("ascii")))
    except (OSError, ValueError) as error:
        fault = Fault(
            str(path), 0, "the key of the quarantine cannot be used", "Restore it, or remove it to draw a new one"
        )
        raise Misconfigured(fault) from error
