"""The module that knows psycopg: connections to one database, and whose fault it is when one fails.

What a transaction has committed survives a power cut of the server: synchronous_commit is never off.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import conninfo
from psycopg.pq import TransactionStatus

from contract.errors import Fault, KanmonError, Misconfigured, ProtocolError, StoreFull, Tampered, Unreachable

Connection = psycopg.AsyncConnection[tuple[Any, ...]]  # what our own SQL asked for; whoever reads a row knows its types
_Result = TypeVar("_Result")

OLDEST_SERVER = 150000
CONNECT_LIMIT_S = 5
STEP_LIMIT_S = 60.0
"""No use of a connection takes longer: a commit of a group takes tens of milliseconds, a round of maintenance a few
seconds."""
_PLACE = "the database's URL"
_ASSURED = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
# Compiling a plan takes longer than any of our statements.
_PLAIN = "SET jit = off"
# A hub that vanished in the middle of a transaction must not hold its claims for ever.
_ABANDONED = "SET idle_in_transaction_session_timeout = '30s'"
# A link that is open but dead is noticed within 25 s.
_LINK = "keepalives_idle=10 keepalives_interval=5 keepalives_count=3 tcp_user_timeout=15000"

# The server's refusals at the door come without SQLSTATE; these do not go away by waiting.
_REFUSALS = ("password authentication failed", "no password supplied", "does not exist", "pg_hba.conf")


class Collided(Unreachable):
    """Two transactions were in each other's way and this one was undone: to be tried again at once."""


# SQLSTATE codes and classes (PostgreSQL 15, appendix A).
_FAMILIES: tuple[tuple[tuple[str, ...], type[KanmonError], str], ...] = (
    (("40001", "40P01"), Collided, "PostgreSQL undid the transaction"),
    (("53100", "53200", "53400", "58030"), StoreFull, "the hub's database cannot be written"),
    (("08", "25006", "53300", "55P03", "57"), Unreachable, "PostgreSQL cannot be reached"),
    (("XX001", "XX002"), Tampered, "the hub's database is damaged"),
)


class Connections:
    """Up to `most` open connections, each used by one task at a time and kept for the next."""

    def __init__(self, url: str, most: int, prepare: Callable[[Connection], Awaitable[None]] | None = None) -> None:
        self._url = url
        self._prepare = prepare
        self._free = asyncio.Semaphore(most)
        self._idle: list[Connection] = []

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[Connection]:
        """One connection, in autocommit mode; library errors leave as our families, and the connection is dropped."""
        async with self._free:
            try:
                async with asyncio.timeout(STEP_LIMIT_S):
                    connection = self._idle.pop() if self._idle else await self._connect()
                    try:
                        yield connection
                    finally:
                        await self._give_back(connection)
            except psycopg.Error as error:
                raise _family(error) from _shown(error)
            except (OverflowError, UnicodeError) as error:
                # Their texts may quote the value.
                raise ProtocolError(f"a value cannot be stored: {type(error).__name__}") from None
            except TimeoutError as error:
                raise Unreachable(f"PostgreSQL did not answer within {STEP_LIMIT_S:.0f} s") from error

    async def close(self) -> None:
        """Close what is idle; nothing is taken any more."""
        while self._idle:
            await self._idle.pop().close()

    async def forget_idle(self) -> None:
        """Drop connections that may have died while nobody used them."""
        await self.close()

    async def _connect(self) -> Connection:
        connection = await psycopg.AsyncConnection.connect(
            conninfo.make_conninfo(self._url, **conninfo.conninfo_to_dict(_LINK)),
            autocommit=True,
            connect_timeout=CONNECT_LIMIT_S,
            application_name="kanmon-hub",
        )
        try:
            await connection.execute(_ASSURED)
            await connection.execute(_ABANDONED)
            await connection.execute(_PLAIN)
            if self._prepare is not None:
                await self._prepare(connection)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _give_back(self, connection: Connection) -> None:
        if not connection.closed and connection.info.transaction_status is TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            await connection.close()


async def by_index(connection: Connection) -> None:
    """Have queries go from index to index, as they are all made for.

    Of a new week the planner has no statistics: 5,000 minutes were rolled up in 86 s by a hash join, in 0.05 s so.
    """
    for way in ("enable_hashjoin", "enable_mergejoin", "enable_seqscan"):
        await connection.execute(f"SET {way} = off")


@asynccontextmanager
async def opening(url: str) -> AsyncIterator[Connection]:
    """The first connection: what waiting cannot mend is Misconfigured. Not of the pool, closed at the end."""
    connections = Connections(url, 1)
    try:
        async with connections.taken() as connection:
            if connection.info.server_version < OLDEST_SERVER:
                cause = f"PostgreSQL {connection.info.server_version // 10000} is too old"
                raise Misconfigured(Fault(_PLACE, 0, cause, "Use PostgreSQL 15 or newer"))
            yield connection
    except Unreachable as error:
        if any(text in str(error.__cause__) for text in _REFUSALS):
            cause = f"PostgreSQL refuses ({_line(error.__cause__)})"
            raise Misconfigured(Fault(_PLACE, 0, cause, "Correct user, password and database")) from error
        raise
    finally:
        await connections.close()


async def again(work: Callable[[], Awaitable[_Result]], attempts: int = 10) -> _Result:
    """The result of `work`, which is run again as long as its transaction collides with another."""
    for _ in range(attempts - 1):
        try:
            return await work()
        except Collided:
            continue
    return await work()


def _family(error: psycopg.Error) -> KanmonError | psycopg.Error:
    code = error.sqlstate
    if code is None:
        is_lost = isinstance(error, psycopg.OperationalError)
        return Unreachable(f"PostgreSQL cannot be reached ({_line(error)})") if is_lost else _of_value(error)
    for prefixes, family, what in _FAMILIES:
        if code.startswith(prefixes):
            return family(f"{what} ({_line(error)})")
    return _of_value(error)


def _of_value(error: psycopg.Error) -> KanmonError | psycopg.Error:
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return Misconfigured(Fault(_PLACE, 0, f"the user may not do this ({_line(error)})", "Make it the owner"))
    if isinstance(error, psycopg.DataError | psycopg.IntegrityError):
        return ProtocolError(f"a value cannot be stored: {type(error).__name__}")
    return error


def _shown(error: psycopg.Error) -> psycopg.Error | None:
    """The cause to be shown: the text of an error about a value may quote the value."""
    return None if isinstance(_family(error), ProtocolError) else error


def _line(error: BaseException | None) -> str:
    """The first line of the library's text; psycopg's never holds the password."""
    return (str(error).splitlines() or [type(error).__name__])[0]
