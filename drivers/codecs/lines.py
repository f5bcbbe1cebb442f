"""Cuts a byte stream into NMEA 0183 sentences: bounded, never stuck, back in step after any garbage."""

import re

LONGEST_SENTENCE = 512
"""Bytes from `$` to the checksum. NMEA 0183 4.11, 5.3 says 82 with the line end; proprietary sentences run longer."""

_END = re.compile(rb"[^ -#%-)+-~]")
"""What ends a sentence's body: `*` (the checksum follows), `$` (another begins) or anything unprintable."""
_QUIET = b"\r\n\t \x00"
"""What receivers put between sentences; none of it is worth a count."""


class LineBuffer:
    """Bytes in, whole sentences out, each from `$` to its checksum or, where it has none, to the line's end.

    A sentence is given as soon as its checksum is there: the line's end is optional and is not waited for. A `$` or
    an unprintable byte inside a sentence ends it unfinished; what is thrown away is counted in `discarded`.
    """

    def __init__(self) -> None:
        self.discarded = 0
        """Bytes thrown away since the first `$`; a stream entered in mid-sentence is nobody's fault."""
        self._rest = b""
        self._in_step = False

    def feed(self, data: bytes) -> list[bytes]:
        """The sentences completed by `data`, without line ends, in order."""
        stream = self._rest + data
        sentences: list[bytes] = []
        position = 0
        while True:
            start = stream.find(b"$", position)
            self._discard(stream[position : start if start >= 0 else len(stream)])
            if start < 0:
                self._rest = b""
                return sentences
            self._in_step = True
            end = _end_of_sentence(stream, start)
            if end is None:
                self._rest = stream[start:]
                return sentences
            if end > start:
                sentences.append(stream[start:end])
                position = end
            else:
                position = -end
                self._discard(stream[start:position])

    def _discard(self, data: bytes) -> None:
        if self._in_step:
            self.discarded += len(data.translate(None, _QUIET))


def _end_of_sentence(stream: bytes, start: int) -> int | None:
    """Where the sentence at `start` ends; None: not here yet; negative: it is broken up to minus that place."""
    found = _END.search(stream, start + 1)
    end = found.start() if found else len(stream)
    if end - start > LONGEST_SENTENCE:
        return -end
    if not found:
        return None
    if stream[end] in b"\r\n":
        return end
    if stream[end] != ord("*"):
        return -end
    checksum = stream[end + 1 : end + 3]
    if not all(byte in b"0123456789ABCDEFabcdef" for byte in checksum):
        return -(end + 1)
    return end + 3 if len(checksum) == 2 else None
