"""Keys of a gateway and what they seal: one data key per channel (person and purpose), files 0600.

Destroying a key makes everything sealed with it unreadable, wherever copies of it lie (crypto-shredding). File names
hold a channel's number, never a person's id.
"""

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contract.errors import StoreFull, Tampered

KEY_BYTES = 32
NONCE_BYTES = 12


class KeyFolder:
    """Keys by name in a folder of the gateway's state."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keys: dict[str, bytes] = {}

    def key(self, name: str) -> bytes:
        """The key `name`, drawn and made durable on first use; StoreFull when the disk does not take it."""
        if name not in self._keys:
            try:
                self._keys[name] = self._read(name) or self._create(name)
            except OSError as error:
                raise StoreFull(f"no key can be kept in {self._folder}: {error.strerror}") from error
        return self._keys[name]

    def has(self, name: str) -> bool:
        """True when the key exists: something may be sealed with it."""
        return name in self._keys or self._path(name).exists()

    def destroy(self, name: str) -> None:
        """Overwrite and remove the key; nothing sealed with it can be opened again."""
        self._keys.pop(name, None)
        path = self._path(name)
        if path.exists():
            with path.open("r+b") as file:
                file.write(bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
            self._sync_folder()

    def names(self) -> list[str]:
        """Every key that exists."""
        return [path.stem for path in self._folder.glob("*.key")]

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.key"

    def _read(self, name: str) -> bytes | None:
        path = self._path(name)
        if not path.exists():
            return None
        key = path.read_bytes()
        if len(key) != KEY_BYTES:
            raise Tampered(f"{path.name} is not a key of {KEY_BYTES} bytes")
        return key if any(key) else None  # all zeros: cut in the middle of its destruction

    def _create(self, name: str) -> bytes:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key, path = secrets.token_bytes(KEY_BYTES), self._path(name)
        fresh = path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        self._sync_folder()
        return key

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def seal(key: bytes, plain: bytes, place: str) -> bytes:
    """`plain` under AES-256-GCM, bound to `place`: it opens nowhere else."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, place.encode())


def unseal(key: bytes, sealed: bytes, place: str) -> bytes:
    """What `seal` took; Tampered when key, place or a bit of it differs."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place.encode())
    except (InvalidTag, ValueError) as error:
        raise Tampered("sealed record does not open") from error
