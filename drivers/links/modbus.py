"""Modbus TCP: one connection to one unit, one request at a time. The one module that knows pymodbus.

pymodbus returns errors; here they are raised. It also takes an answer of transaction 0 or of another function for the
present one, and dies inside the event loop on bytes it cannot decode: so every received byte is checked before pymodbus
sees it (`codecs.modbus_frame`).
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Self

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from contract.errors import ProtocolError, Unreachable
from drivers.codecs.modbus_frame import Expected, holds_answer, is_whole
from drivers.codecs.modbus_map import Table

EXCEPTIONS: Mapping[int, str] = MappingProxyType(
    {
        1: "illegal function",
        2: "illegal data address",
        3: "illegal data value",
        4: "server device failure",
        5: "acknowledge, still working",
        6: "server device busy",
        8: "memory parity error",
        10: "gateway path unavailable",
        11: "gateway target device failed to respond",
    }
)
"""Modbus Application Protocol V1.1b3, 7."""
BEHIND_GATEWAY = frozenset({10, 11})
_FUNCTIONS = {Table.COIL: 1, Table.DISCRETE: 2, Table.HOLDING: 3, Table.INPUT: 4}


class ExceptionAnswer(ProtocolError):
    """The device refused a request, in due form; `code` says why."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code:02d} ({EXCEPTIONS.get(code, 'unknown')})")
        self.code = code


class ModbusTcp:
    """A connection to `unit_id` at `host`:`port`; entering connects."""

    def __init__(self, host: str, port: int, unit_id: int, timeout_s: float) -> None:
        self._host, self._port, self._unit_id, self._timeout_s = host, port, unit_id, timeout_s
        self._client: AsyncModbusTcpClient | None = None
        self._expected: Expected | None = None

    @property
    def place(self) -> str:
        """Where the device is, as messages name it."""
        return f"{self._host}:{self._port} unit {self._unit_id}"

    async def __aenter__(self) -> Self:
        # pymodbus logs each refused connection and each odd frame, bytes included; what is worth saying is said by us.
        logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
        client = AsyncModbusTcpClient(
            self._host,
            port=self._port,
            name=self.place,
            timeout=self._timeout_s,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._checked,
            trace_connect=self._connection_changed,
        )
        if not await client.connect():
            client.close()
            raise Unreachable(f"{self._host}:{self._port} accepts no connection")
        connection = client.ctx.transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = client
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        transport = client.ctx.transport
        client.close()
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()
            await asyncio.sleep(0)  # lets the loop close the socket before the next connection is opened

    async def read(self, table: Table, address: int, count: int) -> Sequence[int]:
        """`count` registers, or at least `count` bits, from `address` on (from 0).

        Raises ExceptionAnswer when the device refuses, Unreachable when it is gone or silent, ProtocolError when its
        bytes are no answer: after the latter two the connection must not be used again.
        """
        client = self._client
        if client is None:
            raise Unreachable(f"{self.place} is not connected")
        if not is_whole(client.ctx.recv_buffer):
            raise ProtocolError("bytes that nobody asked for")
        data_bytes = (count + 7) // 8 if table.has_bits else 2 * count
        transaction = _next_transaction(client)
        self._expected = Expected(transaction, self._unit_id, _FUNCTIONS[table], data_bytes)
        try:
            answer = await _request(client, table)(address, count=count, device_id=self._unit_id)
        except ModbusException as error:
            raise Unreachable(f"{self.place} gave no answer within {self._timeout_s:g} s") from error
        finally:
            self._expected = None
        if answer.isError():
            self._refuse(answer.exception_code)
        return answer.bits if table.has_bits else answer.registers

    def _refuse(self, code: int) -> None:
        error = ExceptionAnswer(code)
        if code in BEHIND_GATEWAY:
            raise Unreachable(f"{self.place}: {error}")
        raise error

    def _checked(self, is_sending: bool, data: bytes) -> bytes:
        """What pymodbus may decode: all that was received once it holds the answer, until then nothing."""
        if is_sending:
            return data
        if self._expected is None:
            return b""
        try:
            return data if holds_answer(data, self._expected) else b""
        except ProtocolError as error:
            self._fail(error)
            return b""

    def _connection_changed(self, is_connected: bool) -> None:
        if not is_connected:
            self._fail(Unreachable(f"{self.place} closed the connection"))

    def _fail(self, error: Exception) -> None:
        """End the present request, if any, instead of letting it run into its time limit."""
        if self._client is None or self._expected is None:
            return
        self._expected = None
        if not self._client.ctx.response_future.done():
            self._client.ctx.response_future.set_exception(error)


def _next_transaction(client: AsyncModbusTcpClient) -> int:
    """The transaction number that pymodbus will give the next request."""
    return 1 if client.ctx.next_tid >= 65_000 else client.ctx.next_tid + 1


def _request(client: AsyncModbusTcpClient, table: Table) -> Callable[..., Awaitable[ModbusPDU]]:
    match table:
        case Table.COIL:
            return client.read_coils
        case Table.DISCRETE:
            return client.read_discrete_inputs
        case Table.HOLDING:
            return client.read_holding_registers
        case Table.INPUT:
            return client.read_input_registers
