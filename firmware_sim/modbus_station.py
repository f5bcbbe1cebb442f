"""A Modbus TCP server from "MODBUS Messaging on TCP/IP Implementation Guide V1.0b", with faults to order.

It plays an `Equipment`: tables and the function that fills them in for one instant, once for each reading answer.
"""

import asyncio
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, cast

from firmware_sim.fault_plan import FaultPlan
from firmware_sim.modbus_faults import Fault, FaultKind
from firmware_sim.modbus_pdu import ExceptionCode, RequestRefused, Span, Tables, read, refusal, span_read, write

MAX_CONNECTIONS = 32
MAX_KNOWN_SPANS = 256
CLOSE_LIMIT_S = 1.0
_MBAP = struct.Struct(">HHHB")
"""Transaction, protocol (0 = Modbus), bytes that follow including the unit, unit."""
_MAX_LENGTH = 254
"""Unit and a PDU of at most 253 bytes (Application Protocol V1.1b3, 4.1)."""
_BUFFER_BYTES = 16 * 2**10
_ANY_UNIT = frozenset({0, 0xFF})
"""What a master may write when it means the server itself (Messaging on TCP/IP, 4.4.1.2)."""

Said = Mapping[str, float]
Emitted = Callable[[Said], None]


@dataclass(frozen=True, slots=True)
class Equipment:
    """A device behind the server.

    `measure(tables, number)` writes the instant of answer `number` (from 1) into the tables and returns the quantities
    it wrote, as a master decodes them. `spans` says where each quantity lies.
    """

    tables: Tables
    measure: Callable[[Tables, int], Said]
    spans: Mapping[str, Span] = field(default_factory=dict)

    def names_in(self, span: Span) -> frozenset[str]:
        """The quantities that lie wholly within `span`."""
        return frozenset(name for name, where in self.spans.items() if span.covers(where))


class ModbusStation:
    """The server: `async with ModbusStation(host, equipment=...) as station: station.port`.

    `emitted` is told the quantities of an answer when the answer is written to an open connection, unless a fault cut
    or corrupted it or made it LATE: a master must not believe such an answer. `answers` counts reading answers,
    `discarded` the frames that were not for us or broke the protocol.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        equipment: Equipment,
        emitted: Emitted | None = None,
        unit_id: int = 1,
        faults: FaultPlan[Fault] | None = None,
    ) -> None:
        self._host, self._wanted_port = host, port
        self.equipment, self.emitted = equipment, emitted
        self.units = _ANY_UNIT | {unit_id}
        self.faults: FaultPlan[Fault] = faults or FaultPlan()
        self.answers = 0
        self.discarded = 0
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._names: dict[Span, frozenset[str]] = {}

    @property
    def port(self) -> int:
        """The port listened on; known once entered."""
        if self._server is None:
            raise RuntimeError("the station is not open")
        return int(self._server.sockets[0].getsockname()[1])

    def said_in(self, span: Span, values: Said) -> Said:
        """Those of `values` that an answer with the registers of `span` tells a master."""
        names = self._names.get(span)
        if names is None:
            names = self.equipment.names_in(span)
            # A master asks for a handful of spans; one that tries them all does not make this grow without end.
            if len(self._names) < MAX_KNOWN_SPANS:
                self._names[span] = names
        return values if names >= values.keys() else {name: values[name] for name in values if name in names}

    def stop_emitting(self) -> None:
        """From now on every request is answered "device busy": links stay open, nothing more is said."""
        self.faults.always(Fault(FaultKind.EXCEPTION, code=ExceptionCode.DEVICE_BUSY))

    def cut_connections(self) -> None:
        """Close every open connection, as a power cut of the device does."""
        for connection in tuple(self.connections):
            connection.close()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), self._host, self._wanted_port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        closing = [connection.closed for connection in self.connections]
        self.cut_connections()
        if closing:
            await asyncio.wait(closing, timeout=CLOSE_LIMIT_S)


class _Connection(asyncio.BufferedProtocol):
    """One master. Requests are answered one after the other, however many are sent ahead.

    A buffer of its own, because asyncio's takes 256 KiB from the kernel and gives it back at every receive: 35 us of
    CPU a request instead of 14.
    """

    def __init__(self, station: ModbusStation) -> None:
        self._station = station
        self._transport: asyncio.Transport
        self._buffer = bytearray(_BUFFER_BYTES)
        self._unread = b""
        self._late = b""
        self._is_delaying = False
        self._is_clogged = False
        self._timer: asyncio.TimerHandle | None = None
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio declares the base class here; a TCP server always gets a Transport.
        self._transport = cast("asyncio.Transport", transport)
        if len(self._station.connections) >= MAX_CONNECTIONS:
            self._transport.abort()
        else:
            self._station.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # a master may leave as it likes
        self._station.connections.discard(self)
        if self._timer:
            self._timer.cancel()
        self.closed.set_result(None)

    def close(self) -> None:
        """End the connection without waiting for a master that does not read."""
        self._transport.abort()

    def get_buffer(self, sizehint: int) -> bytearray:
        del sizehint  # asyncio always passes -1 for a plain socket
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._buffer[:nbytes])
        self._unread = self._unread + data if self._unread else data
        self._work()

    # A master that does not read its answers is not read from: nothing piles up but what the socket holds.
    def pause_writing(self) -> None:
        self._is_clogged = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_clogged = False
        self._go_on()

    @property
    def may_serve(self) -> bool:
        """False while a delayed answer or a master that does not read holds the connection up."""
        return not (self._is_delaying or self._is_clogged or self._transport.is_closing())

    def _go_on(self) -> None:
        """Answer what waits, then read again, unless there is still a reason not to."""
        self._work()
        if self.may_serve:
            self._transport.resume_reading()

    def _work(self) -> None:
        """Answer every whole frame that has come."""
        data, start = self._unread, 0
        while len(data) - start >= _MBAP.size and self.may_serve:
            transaction, protocol, length, unit = _MBAP.unpack_from(data, start)
            if not 2 <= length <= _MAX_LENGTH:
                # Where the next frame starts cannot be known any more.
                self._station.discarded += 1
                self._transport.abort()
                return
            end = start + 6 + length
            if end > len(data):
                break
            if protocol == 0 and unit in self._station.units:
                self._serve(transaction, unit, data[start + 7 : end])
            else:
                self._station.discarded += 1
            start = end
        self._unread = data[start:]

    def _serve(self, transaction: int, unit: int, request: bytes) -> None:
        station = self._station
        fault = station.faults.take()
        if fault is not None and fault.kind is FaultKind.SILENCE:
            return
        said: Said | None = None
        try:
            if fault is not None and fault.kind is FaultKind.EXCEPTION:
                raise RequestRefused(fault.code)  # noqa: TRY301  one way out for every refusal
            tables = station.equipment.tables
            span = span_read(request, tables)
            if span is None:
                answer = write(request, tables)
            else:
                station.answers += 1
                values = station.equipment.measure(tables, station.answers)
                answer = read(request, span, tables)
                said = station.said_in(span, values) if station.emitted else None
        except RequestRefused as refused:
            answer = refusal(request, refused.code)
        frame = _MBAP.pack(transaction, 0, len(answer) + 1, unit) + answer
        if fault is None or fault.kind is FaultKind.EXCEPTION:
            self._send(frame, said)
        else:
            self._spoil(fault, frame, said)

    def _send(self, frame: bytes, said: Said | None) -> None:
        if self._transport.is_closing():
            return
        if self._late:
            frame, self._late = self._late + frame, b""
        self._transport.write(frame)
        if said and self._station.emitted:
            self._station.emitted(said)

    def _spoil(self, fault: Fault, frame: bytes, said: Said | None) -> None:
        match fault.kind:
            case FaultKind.DELAY:
                self._is_delaying = True
                self._transport.pause_reading()
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(fault.seconds, self._send_delayed, frame, said)
            case FaultKind.CUT:
                self._transport.write(frame[: len(frame) // 2])
                self._transport.close()
            case FaultKind.LATE:
                self._late = frame
            case _:
                position = min(fault.position, len(frame) - 1)
                spoilt = frame[:position] + bytes((frame[position] ^ 0xFF,)) + frame[position + 1 :]
                self._send(spoilt, None)

    def _send_delayed(self, frame: bytes, said: Said | None) -> None:
        self._is_delaying = False
        self._send(frame, said)
        self._go_on()
