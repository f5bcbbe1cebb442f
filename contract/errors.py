"""The error families. A caller decides by family (retry, report, stop), never by text.

KanmonError
├── Unreachable     the peer or device cannot be reached now: retry with back-off
├── ProtocolError   the peer spoke wrongly: count, resynchronise, go on
├── Refused         consent, authorisation or policy says no: never retried
├── Misconfigured   stop and tell the installer: file, line, cause, fix
├── StoreFull       the store cannot take more: nothing already stored is lost
└── Tampered        a stored or received thing is not what was written
"""

from dataclasses import dataclass


class KanmonError(Exception):
    """The root of every error that Kanmon raises on purpose."""


class Unreachable(KanmonError):
    """The peer cannot be reached now; trying again later may succeed."""


class ProtocolError(KanmonError):
    """The peer's bytes break the protocol. The text never holds the bytes themselves."""


class Refused(KanmonError):
    """Consent, authorisation or policy refuses; trying again cannot help."""


class StoreFull(KanmonError):
    """The store takes nothing more; what it holds is intact."""


class Tampered(KanmonError):
    """Something stored or received is not what was written or signed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a configuration. `line` counts from 1; 0 when no line can be named."""

    file: str
    line: int
    cause: str
    fix: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.cause}. {self.fix}"


class Misconfigured(KanmonError):
    """The configuration is wrong; carries every fault found, not only the first."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults
