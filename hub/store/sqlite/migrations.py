"""The schema's history: each entry is run once, in order, forward only. An entry is never changed once released.

Times are integer milliseconds since 1970 UTC. `value` is REAL, NULL (the device said "no value") or JSON text:
[lat, lon, speed, course] of a position, {"v": values, "o": offsets} of a series. `clock` counts ClockQuality.
"""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE gateway (
            id TEXT PRIMARY KEY, first_seen_ms INTEGER NOT NULL, last_seen_ms INTEGER NOT NULL,
            epoch TEXT, software TEXT
        ) WITHOUT ROWID""",
        # Who wrote: the sequence numbers of one stream of one start of one gateway.
        """CREATE TABLE origin (
            id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, epoch TEXT NOT NULL, stream TEXT NOT NULL,
            UNIQUE (gateway, epoch, stream)
        )""",
        # What has been received from an origin, merged when adjacent: the repeat check.
        """CREATE TABLE seen (
            origin INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (origin, first)
        ) WITHOUT ROWID""",
        """CREATE TABLE series (
            id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, device TEXT NOT NULL, quantity TEXT NOT NULL,
            UNIQUE (device, gateway, quantity)
        )""",
        # One tree, no second index: history of a series is read by time, and writing costs one page a series.
        """CREATE TABLE telemetry (
            series INTEGER NOT NULL, at_ms INTEGER NOT NULL, origin INTEGER NOT NULL, sequence INTEGER NOT NULL,
            value, flag INTEGER NOT NULL, clock INTEGER NOT NULL,
            PRIMARY KEY (series, at_ms, origin, sequence)
        ) WITHOUT ROWID""",
        """CREATE TABLE latest (
            series INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, origin INTEGER NOT NULL, sequence INTEGER NOT NULL,
            value, flag INTEGER NOT NULL, clock INTEGER NOT NULL
        )""",
        # Records of persons. No column may lead back to gateway, device, epoch or sequence.
        """CREATE TABLE released_series (
            id INTEGER PRIMARY KEY, purpose TEXT NOT NULL, subject TEXT NOT NULL, quantity TEXT NOT NULL,
            UNIQUE (purpose, subject, quantity)
        )""",
        """CREATE TABLE released (
            id INTEGER PRIMARY KEY AUTOINCREMENT, series INTEGER NOT NULL, at_ms INTEGER NOT NULL,
            value, flag INTEGER NOT NULL, clock INTEGER NOT NULL
        )""",
        "CREATE INDEX released_by_time ON released (series, at_ms, id)",
        """CREATE TABLE aggregate (
            id INTEGER PRIMARY KEY AUTOINCREMENT, purpose TEXT, subject TEXT NOT NULL, quantity TEXT NOT NULL,
            start_ms INTEGER NOT NULL, window_s REAL NOT NULL, count INTEGER NOT NULL, mean REAL NOT NULL,
            minimum REAL NOT NULL, maximum REAL NOT NULL, samples INTEGER NOT NULL
        )""",
        "CREATE INDEX aggregate_by_time ON aggregate (start_ms, id)",
        """CREATE TABLE alert_event (
            id INTEGER PRIMARY KEY AUTOINCREMENT, gateway TEXT, purpose TEXT, subject TEXT NOT NULL,
            alert TEXT NOT NULL, rule TEXT NOT NULL, rule_version TEXT NOT NULL, transition TEXT NOT NULL,
            at_ms INTEGER NOT NULL, quantity TEXT NOT NULL, value REAL NOT NULL, threshold REAL NOT NULL,
            level INTEGER NOT NULL, name_ja TEXT NOT NULL, name_en TEXT NOT NULL, evidence TEXT NOT NULL
        )""",
        # What of an alert is open: kept by ingest, so that a page need not search the whole history. Empty: none.
        """CREATE TABLE alarm (
            alert TEXT NOT NULL, gateway TEXT NOT NULL, purpose TEXT NOT NULL, at_ms INTEGER NOT NULL,
            event INTEGER NOT NULL, is_cleared INTEGER NOT NULL, PRIMARY KEY (alert, gateway, purpose)
        ) WITHOUT ROWID""",
        "CREATE INDEX alert_event_by_time ON alert_event (at_ms, id)",
        "CREATE INDEX alarm_open ON alarm (event) WHERE NOT is_cleared",
        """CREATE TABLE gap (
            id INTEGER PRIMARY KEY AUTOINCREMENT, gateway TEXT, purpose TEXT, subject TEXT NOT NULL, quantity TEXT,
            start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL, reason TEXT NOT NULL, count INTEGER
        )""",
        """CREATE TABLE quarantine (
            id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, gateway TEXT, reason TEXT NOT NULL,
            payload BLOB NOT NULL
        )""",
    ),
    (
        # Which minutes of which series ingest has touched since they were last rolled up.
        "CREATE TABLE touched (id INTEGER PRIMARY KEY AUTOINCREMENT, due_ms INTEGER NOT NULL, minutes TEXT NOT NULL)",
        """CREATE TABLE rollup (
            series INTEGER NOT NULL, step INTEGER NOT NULL, start_ms INTEGER NOT NULL, count INTEGER NOT NULL,
            total REAL NOT NULL, minimum REAL NOT NULL, maximum REAL NOT NULL, last REAL NOT NULL,
            PRIMARY KEY (series, step, start_ms)
        ) WITHOUT ROWID""",
        # What is stored already is rolled up as well: one note a minute.
        """INSERT INTO touched (due_ms, minutes)
        SELECT 0, json_array(json_array(minute, json_group_array(series))) FROM (
            SELECT DISTINCT series, (at_ms - (at_ms % 60000 + 60000) % 60000) / 60000 AS minute
            FROM telemetry WHERE typeof(value) = 'real'
        ) GROUP BY minute""",
    ),
)
