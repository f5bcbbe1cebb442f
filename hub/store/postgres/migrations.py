"""The schema's history: each entry is run once, in order, forward only. An entry is never changed once released.

Times are integer milliseconds since 1970 UTC. A value is `value` (a number), `text` (JSON, as in the SQLite schema) or
neither (the device said "no value"). Names sort by their bytes, as in SQLite. Several workers write at once, so nothing
that two of them touch in every transaction is one row: see `seen` and the tables with a lane.
"""

from contract.errors import Fault, Misconfigured
from hub.store.postgres.database import Connection

LOCK_CLASS = 0x6B616E6D  # "kanm": first key of the advisory locks of this program, within one database
MIGRATION_LOCK = 1

_VALUE = "value double precision, text text, flag smallint NOT NULL, clock smallint NOT NULL"
_MEASURED = f"at_ms bigint NOT NULL, origin integer NOT NULL, sequence bigint NOT NULL, {_VALUE}"
_NAME = 'text COLLATE "C"'
_ID = "GENERATED ALWAYS AS IDENTITY PRIMARY KEY"

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # A worker writes the rows of its own lane; readers take the newest over the lanes.
        f"""CREATE TABLE gateway_lane (
            gateway {_NAME} NOT NULL, lane smallint NOT NULL, first_seen_ms bigint NOT NULL,
            last_seen_ms bigint NOT NULL, hello_ms bigint, epoch text, software text, PRIMARY KEY (gateway, lane)
        ) WITH (fillfactor = 70)""",
        """CREATE VIEW gateway AS SELECT
            gateway AS id, min(first_seen_ms) AS first_seen_ms, max(last_seen_ms) AS last_seen_ms,
            (array_agg(epoch ORDER BY hello_ms DESC) FILTER (WHERE hello_ms IS NOT NULL))[1] AS epoch,
            (array_agg(software ORDER BY hello_ms DESC) FILTER (WHERE hello_ms IS NOT NULL))[1] AS software
        FROM gateway_lane GROUP BY gateway""",
        # Who wrote: the sequence numbers of one stream of one start of one gateway.
        f"""CREATE TABLE origin (
            id integer {_ID}, gateway {_NAME} NOT NULL, epoch text NOT NULL, stream text NOT NULL,
            UNIQUE (gateway, epoch, stream)
        )""",
        # The repeat check: what has been received, as [origin << 40 | first, origin << 40 | last + 1). Two workers that
        # claim the same numbers at once meet in the index: the second waits for the first's commit.
        "CREATE TABLE seen (span int8range NOT NULL, EXCLUDE USING gist (span WITH &&))",
        "CREATE INDEX seen_by_start ON seen (lower(span))",
        f"""CREATE TABLE series (
            id integer {_ID}, gateway {_NAME} NOT NULL, device {_NAME} NOT NULL, quantity {_NAME} NOT NULL,
            UNIQUE (device, gateway, quantity)
        )""",
        f"CREATE TABLE telemetry (series integer NOT NULL, {_MEASURED}) PARTITION BY RANGE (at_ms)",
        "CREATE INDEX telemetry_by_time ON telemetry (series, at_ms)",
        # What lies outside every week that has a partition: a clock at 1970, or years ahead.
        "CREATE TABLE telemetry_stray PARTITION OF telemetry DEFAULT",
        f"""CREATE TABLE latest_lane (
            series integer NOT NULL, lane smallint NOT NULL, {_MEASURED}, PRIMARY KEY (series, lane)
        ) WITH (fillfactor = 70)""",
        """CREATE VIEW latest AS SELECT s.id AS series, l.at_ms, l.origin, l.sequence, l.value, l.text, l.flag, l.clock
        FROM series AS s CROSS JOIN LATERAL (
            SELECT * FROM latest_lane WHERE series = s.id ORDER BY at_ms DESC, sequence DESC, origin DESC LIMIT 1
        ) AS l""",
        # Records of persons. No column may lead back to gateway, device, epoch or sequence.
        f"""CREATE TABLE released_series (
            id integer {_ID}, purpose {_NAME} NOT NULL, subject {_NAME} NOT NULL, quantity {_NAME} NOT NULL,
            UNIQUE (purpose, subject, quantity)
        )""",
        f"CREATE TABLE released (id bigint {_ID}, series integer NOT NULL, at_ms bigint NOT NULL, {_VALUE})",
        "CREATE INDEX released_by_time ON released (series, at_ms, id)",
        f"""CREATE TABLE aggregate (
            id bigint {_ID}, purpose text, subject text NOT NULL, quantity text NOT NULL, start_ms bigint NOT NULL,
            window_s double precision NOT NULL, count bigint NOT NULL, mean double precision NOT NULL,
            minimum double precision NOT NULL, maximum double precision NOT NULL, samples bigint NOT NULL
        )""",
        "CREATE INDEX aggregate_by_time ON aggregate (start_ms, id)",
        "CREATE INDEX aggregate_by_subject ON aggregate (purpose, subject)",
        f"""CREATE TABLE alert_event (
            id bigint {_ID}, gateway text, purpose text, subject text NOT NULL,
            alert text NOT NULL, rule text NOT NULL, rule_version text NOT NULL, transition text NOT NULL,
            at_ms bigint NOT NULL, quantity text NOT NULL, value double precision NOT NULL,
            threshold double precision NOT NULL, level bigint NOT NULL, name_ja text NOT NULL, name_en text NOT NULL,
            evidence text NOT NULL
        )""",
        "CREATE INDEX alert_event_by_time ON alert_event (at_ms, id)",
        # What of an alert is open: kept by ingest, so that a page need not search the whole history. Empty: none.
        """CREATE TABLE alarm (
            alert text NOT NULL, gateway text NOT NULL, purpose text NOT NULL, at_ms bigint NOT NULL,
            event bigint NOT NULL, is_cleared boolean NOT NULL, PRIMARY KEY (alert, gateway, purpose)
        )""",
        "CREATE INDEX alarm_open ON alarm (event) WHERE NOT is_cleared",
        f"""CREATE TABLE gap (
            id bigint {_ID}, gateway text, purpose text, subject text NOT NULL, quantity text,
            start_ms bigint NOT NULL, end_ms bigint NOT NULL, reason text NOT NULL, count bigint
        )""",
        f"""CREATE TABLE quarantine (
            id bigint {_ID}, at_ms bigint NOT NULL, gateway text, reason text NOT NULL, payload bytea NOT NULL
        )""",
    ),
    (
        # Which minutes of which series ingest has touched since they were last rolled up.
        f"CREATE TABLE touched (id bigint {_ID}, due_ms bigint NOT NULL, minutes text NOT NULL)",
        """CREATE TABLE rollup (
            series integer NOT NULL, step integer NOT NULL, start_ms bigint NOT NULL, count bigint NOT NULL,
            total double precision NOT NULL, minimum double precision NOT NULL, maximum double precision NOT NULL,
            last double precision NOT NULL, PRIMARY KEY (series, step, start_ms)
        )""",
        # What is stored already is rolled up as well: one note a minute.
        """INSERT INTO touched (due_ms, minutes)
        SELECT 0, CAST(json_build_array(json_build_array(minute, json_agg(series))) AS text) FROM (
            SELECT DISTINCT series, (at_ms - (at_ms % 60000 + 60000) % 60000) / 60000 AS minute
            FROM telemetry WHERE value IS NOT NULL
        ) AS stored GROUP BY minute""",
    ),
)


async def migrate(connection: Connection) -> None:
    """Bring the schema to the newest version, all or nothing; of several programs one does it, the others wait."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCK_CLASS, MIGRATION_LOCK))
        await connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version integer NOT NULL)")
        found = await (await connection.execute("SELECT max(version) FROM schema_version")).fetchone()
        version = (found[0] if found else None) or 0
        if version > len(MIGRATIONS):
            cause = f"the database has version {version}, this program knows {len(MIGRATIONS)}"
            raise Misconfigured(Fault("the database's URL", 0, cause, "Start the newer program that wrote it"))
        for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
            for statement in statements:
                await connection.execute(statement)
            await connection.execute("INSERT INTO schema_version VALUES (%s)", (number,))
