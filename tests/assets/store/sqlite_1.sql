BEGIN TRANSACTION;
CREATE TABLE aggregate (
            id INTEGER PRIMARY KEY AUTOINCREMENT, purpose TEXT, subject TEXT NOT NULL, quantity TEXT NOT NULL,
            start_ms INTEGER NOT NULL, window_s REAL NOT NULL, count INTEGER NOT NULL, mean REAL NOT NULL,
            minimum REAL NOT NULL, maximum REAL NOT NULL, samples INTEGER NOT NULL
        );
INSERT INTO "aggregate" VALUES(1,'statistics','p4567','heart_rate',1795316400000,60.0,58,70.5,64.0,81.0,58);
CREATE TABLE alarm (
            alert TEXT NOT NULL, gateway TEXT NOT NULL, purpose TEXT NOT NULL, at_ms INTEGER NOT NULL,
            event INTEGER NOT NULL, is_cleared INTEGER NOT NULL, PRIMARY KEY (alert, gateway, purpose)
        ) WITHOUT ROWID;
INSERT INTO "alarm" VALUES('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','gw-1','',1795316401000,1,0);
CREATE TABLE alert_event (
            id INTEGER PRIMARY KEY AUTOINCREMENT, gateway TEXT, purpose TEXT, subject TEXT NOT NULL,
            alert TEXT NOT NULL, rule TEXT NOT NULL, rule_version TEXT NOT NULL, transition TEXT NOT NULL,
            at_ms INTEGER NOT NULL, quantity TEXT NOT NULL, value REAL NOT NULL, threshold REAL NOT NULL,
            level INTEGER NOT NULL, name_ja TEXT NOT NULL, name_en TEXT NOT NULL, evidence TEXT NOT NULL
        );
INSERT INTO "alert_event" VALUES(1,'gw-1',NULL,'river-1','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','river_stage','2026-11-01','raised',1795316401000,'water_level',2.6,2.5,3,'避難判断水位','Evacuation decision level','[["window_s", 10.0]]');
CREATE TABLE gap (
            id INTEGER PRIMARY KEY AUTOINCREMENT, gateway TEXT, purpose TEXT, subject TEXT NOT NULL, quantity TEXT,
            start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL, reason TEXT NOT NULL, count INTEGER
        );
INSERT INTO "gap" VALUES(1,'gw-1',NULL,'river-1',NULL,1795316401000,1795316402000,'restart',3);
CREATE TABLE gateway (
            id TEXT PRIMARY KEY, first_seen_ms INTEGER NOT NULL, last_seen_ms INTEGER NOT NULL,
            epoch TEXT, software TEXT
        ) WITHOUT ROWID;
INSERT INTO "gateway" VALUES('gw-1',1795316400000,1795316400000,'00000000000000a1','kanmon 0.1.0');
CREATE TABLE latest (
            series INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, origin INTEGER NOT NULL, sequence INTEGER NOT NULL,
            value, flag INTEGER NOT NULL, clock INTEGER NOT NULL
        );
INSERT INTO "latest" VALUES(1,1795316460000,1,10,3.1,1,0);
INSERT INTO "latest" VALUES(2,1795316460000,1,11,'[33.95, 130.94, null, 271.5]',1,0);
INSERT INTO "latest" VALUES(3,1795316460000,1,12,NULL,9,0);
CREATE TABLE origin (
            id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, epoch TEXT NOT NULL, stream TEXT NOT NULL,
            UNIQUE (gateway, epoch, stream)
        );
INSERT INTO "origin" VALUES(1,'gw-1','00000000000000a1','data');
INSERT INTO "origin" VALUES(2,'gw-1','00000000000000a1','alert');
CREATE TABLE quarantine (
            id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, gateway TEXT, reason TEXT NOT NULL,
            payload BLOB NOT NULL
        );
CREATE TABLE released (
            id INTEGER PRIMARY KEY AUTOINCREMENT, series INTEGER NOT NULL, at_ms INTEGER NOT NULL,
            value, flag INTEGER NOT NULL, clock INTEGER NOT NULL
        );
INSERT INTO "released" VALUES(1,1,1795316402000,71.0,1,0);
INSERT INTO "released" VALUES(2,2,1795316402000,'{"v": [0.85], "o": [0.0]}',1,0);
CREATE TABLE released_series (
            id INTEGER PRIMARY KEY, purpose TEXT NOT NULL, subject TEXT NOT NULL, quantity TEXT NOT NULL,
            UNIQUE (purpose, subject, quantity)
        );
INSERT INTO "released_series" VALUES(1,'research','p0123abcd','heart_rate');
INSERT INTO "released_series" VALUES(2,'research','p0123abcd','rr_interval');
CREATE TABLE seen (
            origin INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (origin, first)
        ) WITHOUT ROWID;
INSERT INTO "seen" VALUES(1,1,13);
INSERT INTO "seen" VALUES(1,20,23);
INSERT INTO "seen" VALUES(2,1,1);
CREATE TABLE series (
            id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, device TEXT NOT NULL, quantity TEXT NOT NULL,
            UNIQUE (device, gateway, quantity)
        );
INSERT INTO "series" VALUES(1,'gw-1','river-1','water_level');
INSERT INTO "series" VALUES(2,'gw-1','river-1','position');
INSERT INTO "series" VALUES(3,'gw-1','river-1','humidity');
CREATE TABLE telemetry (
            series INTEGER NOT NULL, at_ms INTEGER NOT NULL, origin INTEGER NOT NULL, sequence INTEGER NOT NULL,
            value, flag INTEGER NOT NULL, clock INTEGER NOT NULL,
            PRIMARY KEY (series, at_ms, origin, sequence)
        ) WITHOUT ROWID;
INSERT INTO "telemetry" VALUES(1,0,1,13,7.0,1,1);
INSERT INTO "telemetry" VALUES(1,1795316400000,1,1,0.1,1,0);
INSERT INTO "telemetry" VALUES(1,1795316420000,1,4,1.1,1,0);
INSERT INTO "telemetry" VALUES(1,1795316440000,1,7,2.1,1,0);
INSERT INTO "telemetry" VALUES(1,1795316460000,1,10,3.1,1,0);
INSERT INTO "telemetry" VALUES(2,1795316400000,1,2,'[33.95, 130.94, null, 271.5]',1,0);
INSERT INTO "telemetry" VALUES(2,1795316420000,1,5,'[33.95, 130.94, null, 271.5]',1,0);
INSERT INTO "telemetry" VALUES(2,1795316440000,1,8,'[33.95, 130.94, null, 271.5]',1,0);
INSERT INTO "telemetry" VALUES(2,1795316460000,1,11,'[33.95, 130.94, null, 271.5]',1,0);
INSERT INTO "telemetry" VALUES(3,1795316400000,1,3,NULL,9,0);
INSERT INTO "telemetry" VALUES(3,1795316420000,1,6,NULL,9,0);
INSERT INTO "telemetry" VALUES(3,1795316440000,1,9,NULL,9,0);
INSERT INTO "telemetry" VALUES(3,1795316460000,1,12,NULL,9,0);
CREATE INDEX released_by_time ON released (series, at_ms, id);
CREATE INDEX aggregate_by_time ON aggregate (start_ms, id);
CREATE INDEX alert_event_by_time ON alert_event (at_ms, id);
CREATE INDEX alarm_open ON alarm (event) WHERE NOT is_cleared;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('released',2);
INSERT INTO "sqlite_sequence" VALUES('aggregate',1);
INSERT INTO "sqlite_sequence" VALUES('gap',1);
INSERT INTO "sqlite_sequence" VALUES('alert_event',1);
COMMIT;
PRAGMA user_version = 1;
