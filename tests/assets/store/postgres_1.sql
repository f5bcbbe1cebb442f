CREATE TABLE public.aggregate (
    id bigint NOT NULL,
    purpose text,
    subject text NOT NULL,
    quantity text NOT NULL,
    start_ms bigint NOT NULL,
    window_s double precision NOT NULL,
    count bigint NOT NULL,
    mean double precision NOT NULL,
    minimum double precision NOT NULL,
    maximum double precision NOT NULL,
    samples bigint NOT NULL
);
ALTER TABLE public.aggregate ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.aggregate_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.alarm (
    alert text NOT NULL,
    gateway text NOT NULL,
    purpose text NOT NULL,
    at_ms bigint NOT NULL,
    event bigint NOT NULL,
    is_cleared boolean NOT NULL
);
CREATE TABLE public.alert_event (
    id bigint NOT NULL,
    gateway text,
    purpose text,
    subject text NOT NULL,
    alert text NOT NULL,
    rule text NOT NULL,
    rule_version text NOT NULL,
    transition text NOT NULL,
    at_ms bigint NOT NULL,
    quantity text NOT NULL,
    value double precision NOT NULL,
    threshold double precision NOT NULL,
    level bigint NOT NULL,
    name_ja text NOT NULL,
    name_en text NOT NULL,
    evidence text NOT NULL
);
ALTER TABLE public.alert_event ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.alert_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.gap (
    id bigint NOT NULL,
    gateway text,
    purpose text,
    subject text NOT NULL,
    quantity text,
    start_ms bigint NOT NULL,
    end_ms bigint NOT NULL,
    reason text NOT NULL,
    count bigint
);
ALTER TABLE public.gap ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.gap_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.gateway_lane (
    gateway text NOT NULL COLLATE pg_catalog."C",
    lane smallint NOT NULL,
    first_seen_ms bigint NOT NULL,
    last_seen_ms bigint NOT NULL,
    hello_ms bigint,
    epoch text,
    software text
)
WITH (fillfactor='70');
CREATE VIEW public.gateway AS
 SELECT gateway_lane.gateway AS id,
    min(gateway_lane.first_seen_ms) AS first_seen_ms,
    max(gateway_lane.last_seen_ms) AS last_seen_ms,
    (array_agg(gateway_lane.epoch ORDER BY gateway_lane.hello_ms DESC) FILTER (WHERE (gateway_lane.hello_ms IS NOT NULL)))[1] AS epoch,
    (array_agg(gateway_lane.software ORDER BY gateway_lane.hello_ms DESC) FILTER (WHERE (gateway_lane.hello_ms IS NOT NULL)))[1] AS software
   FROM public.gateway_lane
  GROUP BY gateway_lane.gateway;
CREATE TABLE public.latest_lane (
    series integer NOT NULL,
    lane smallint NOT NULL,
    at_ms bigint NOT NULL,
    origin integer NOT NULL,
    sequence bigint NOT NULL,
    value double precision,
    text text,
    flag smallint NOT NULL,
    clock smallint NOT NULL
)
WITH (fillfactor='70');
CREATE TABLE public.series (
    id integer NOT NULL,
    gateway text NOT NULL COLLATE pg_catalog."C",
    device text NOT NULL COLLATE pg_catalog."C",
    quantity text NOT NULL COLLATE pg_catalog."C"
);
CREATE VIEW public.latest AS
 SELECT s.id AS series,
    l.at_ms,
    l.origin,
    l.sequence,
    l.value,
    l.text,
    l.flag,
    l.clock
   FROM (public.series s
     CROSS JOIN LATERAL ( SELECT latest_lane.series,
            latest_lane.lane,
            latest_lane.at_ms,
            latest_lane.origin,
            latest_lane.sequence,
            latest_lane.value,
            latest_lane.text,
            latest_lane.flag,
            latest_lane.clock
           FROM public.latest_lane
          WHERE (latest_lane.series = s.id)
          ORDER BY latest_lane.at_ms DESC, latest_lane.sequence DESC, latest_lane.origin DESC
         LIMIT 1) l);
CREATE TABLE public.origin (
    id integer NOT NULL,
    gateway text NOT NULL COLLATE pg_catalog."C",
    epoch text NOT NULL,
    stream text NOT NULL
);
ALTER TABLE public.origin ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.origin_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.quarantine (
    id bigint NOT NULL,
    at_ms bigint NOT NULL,
    gateway text,
    reason text NOT NULL,
    payload bytea NOT NULL
);
ALTER TABLE public.quarantine ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.quarantine_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.released (
    id bigint NOT NULL,
    series integer NOT NULL,
    at_ms bigint NOT NULL,
    value double precision,
    text text,
    flag smallint NOT NULL,
    clock smallint NOT NULL
);
ALTER TABLE public.released ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.released_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.released_series (
    id integer NOT NULL,
    purpose text NOT NULL COLLATE pg_catalog."C",
    subject text NOT NULL COLLATE pg_catalog."C",
    quantity text NOT NULL COLLATE pg_catalog."C"
);
ALTER TABLE public.released_series ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.released_series_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.schema_version (
    version integer NOT NULL
);
CREATE TABLE public.seen (
    span int8range NOT NULL
);
ALTER TABLE public.series ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.series_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.telemetry (
    series integer NOT NULL,
    at_ms bigint NOT NULL,
    origin integer NOT NULL,
    sequence bigint NOT NULL,
    value double precision,
    text text,
    flag smallint NOT NULL,
    clock smallint NOT NULL
)
PARTITION BY RANGE (at_ms);
CREATE TABLE public.telemetry_stray (
    series integer NOT NULL,
    at_ms bigint NOT NULL,
    origin integer NOT NULL,
    sequence bigint NOT NULL,
    value double precision,
    text text,
    flag smallint NOT NULL,
    clock smallint NOT NULL
);
CREATE TABLE public.telemetry_w2968 (
    series integer NOT NULL,
    at_ms bigint NOT NULL,
    origin integer NOT NULL,
    sequence bigint NOT NULL,
    value double precision,
    text text,
    flag smallint NOT NULL,
    clock smallint NOT NULL
);
ALTER TABLE ONLY public.telemetry ATTACH PARTITION public.telemetry_stray DEFAULT;
ALTER TABLE ONLY public.telemetry ATTACH PARTITION public.telemetry_w2968 FOR VALUES FROM ('1795046400000') TO ('1795651200000');
INSERT INTO public.aggregate OVERRIDING SYSTEM VALUE VALUES (1, 'statistics', 'p4567', 'heart_rate', 1795316400000, 60, 58, 70.5, 64, 81, 58);
INSERT INTO public.alarm VALUES ('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'gw-1', '', 1795316401000, 1, false);
INSERT INTO public.alert_event OVERRIDING SYSTEM VALUE VALUES (1, 'gw-1', NULL, 'river-1', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'river_stage', '2026-11-01', 'raised', 1795316401000, 'water_level', 2.6, 2.5, 3, '避難判断水位', 'Evacuation decision level', '[["window_s", 10.0]]');
INSERT INTO public.gap OVERRIDING SYSTEM VALUE VALUES (1, 'gw-1', NULL, 'river-1', NULL, 1795316401000, 1795316402000, 'restart', 3);
INSERT INTO public.gateway_lane VALUES ('gw-1', 0, 1795316400000, 1795316400000, 1795316400000, '00000000000000a1', 'kanmon 0.1.0');
INSERT INTO public.latest_lane VALUES (3, 0, 1795316460000, 2, 10, 3.1, NULL, 1, 0);
INSERT INTO public.latest_lane VALUES (2, 0, 1795316460000, 2, 11, NULL, '[33.95, 130.94, null, 271.5]', 1, 0);
INSERT INTO public.latest_lane VALUES (1, 0, 1795316460000, 2, 12, NULL, NULL, 9, 0);
INSERT INTO public.origin OVERRIDING SYSTEM VALUE VALUES (1, 'gw-1', '00000000000000a1', 'alert');
INSERT INTO public.origin OVERRIDING SYSTEM VALUE VALUES (2, 'gw-1', '00000000000000a1', 'data');
INSERT INTO public.released OVERRIDING SYSTEM VALUE VALUES (1, 1, 1795316402000, 71, NULL, 1, 0);
INSERT INTO public.released OVERRIDING SYSTEM VALUE VALUES (2, 2, 1795316402000, NULL, '{"v": [0.85], "o": [0.0]}', 1, 0);
INSERT INTO public.released_series OVERRIDING SYSTEM VALUE VALUES (1, 'research', 'p0123abcd', 'heart_rate');
INSERT INTO public.released_series OVERRIDING SYSTEM VALUE VALUES (2, 'research', 'p0123abcd', 'rr_interval');
INSERT INTO public.schema_version VALUES (1);
INSERT INTO public.seen VALUES ('[1099511627777,1099511627778)');
INSERT INTO public.seen VALUES ('[2199023255553,2199023255565)');
INSERT INTO public.seen VALUES ('[2199023255565,2199023255566)');
INSERT INTO public.seen VALUES ('[2199023255572,2199023255574)');
INSERT INTO public.seen VALUES ('[2199023255574,2199023255575)');
INSERT INTO public.seen VALUES ('[2199023255575,2199023255576)');
INSERT INTO public.series OVERRIDING SYSTEM VALUE VALUES (1, 'gw-1', 'river-1', 'humidity');
INSERT INTO public.series OVERRIDING SYSTEM VALUE VALUES (2, 'gw-1', 'river-1', 'position');
INSERT INTO public.series OVERRIDING SYSTEM VALUE VALUES (3, 'gw-1', 'river-1', 'water_level');
INSERT INTO public.telemetry_stray VALUES (3, 0, 2, 13, 7, NULL, 1, 1);
INSERT INTO public.telemetry_w2968 VALUES (3, 1795316400000, 2, 1, 0.1, NULL, 1, 0);
INSERT INTO public.telemetry_w2968 VALUES (2, 1795316400000, 2, 2, NULL, '[33.95, 130.94, null, 271.5]', 1, 0);
INSERT INTO public.telemetry_w2968 VALUES (1, 1795316400000, 2, 3, NULL, NULL, 9, 0);
INSERT INTO public.telemetry_w2968 VALUES (3, 1795316420000, 2, 4, 1.1, NULL, 1, 0);
INSERT INTO public.telemetry_w2968 VALUES (2, 1795316420000, 2, 5, NULL, '[33.95, 130.94, null, 271.5]', 1, 0);
INSERT INTO public.telemetry_w2968 VALUES (1, 1795316420000, 2, 6, NULL, NULL, 9, 0);
INSERT INTO public.telemetry_w2968 VALUES (3, 1795316440000, 2, 7, 2.1, NULL, 1, 0);
INSERT INTO public.telemetry_w2968 VALUES (2, 1795316440000, 2, 8, NULL, '[33.95, 130.94, null, 271.5]', 1, 0);
INSERT INTO public.telemetry_w2968 VALUES (1, 1795316440000, 2, 9, NULL, NULL, 9, 0);
INSERT INTO public.telemetry_w2968 VALUES (3, 1795316460000, 2, 10, 3.1, NULL, 1, 0);
INSERT INTO public.telemetry_w2968 VALUES (2, 1795316460000, 2, 11, NULL, '[33.95, 130.94, null, 271.5]', 1, 0);
INSERT INTO public.telemetry_w2968 VALUES (1, 1795316460000, 2, 12, NULL, NULL, 9, 0);
SELECT pg_catalog.setval('public.aggregate_id_seq', 1, true);
SELECT pg_catalog.setval('public.alert_event_id_seq', 1, true);
SELECT pg_catalog.setval('public.gap_id_seq', 1, true);
SELECT pg_catalog.setval('public.origin_id_seq', 2, true);
SELECT pg_catalog.setval('public.quarantine_id_seq', 1, false);
SELECT pg_catalog.setval('public.released_id_seq', 2, true);
SELECT pg_catalog.setval('public.released_series_id_seq', 2, true);
SELECT pg_catalog.setval('public.series_id_seq', 3, true);
ALTER TABLE ONLY public.aggregate
    ADD CONSTRAINT aggregate_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.alarm
    ADD CONSTRAINT alarm_pkey PRIMARY KEY (alert, gateway, purpose);
ALTER TABLE ONLY public.alert_event
    ADD CONSTRAINT alert_event_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.gap
    ADD CONSTRAINT gap_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.gateway_lane
    ADD CONSTRAINT gateway_lane_pkey PRIMARY KEY (gateway, lane);
ALTER TABLE ONLY public.latest_lane
    ADD CONSTRAINT latest_lane_pkey PRIMARY KEY (series, lane);
ALTER TABLE ONLY public.origin
    ADD CONSTRAINT origin_gateway_epoch_stream_key UNIQUE (gateway, epoch, stream);
ALTER TABLE ONLY public.origin
    ADD CONSTRAINT origin_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.quarantine
    ADD CONSTRAINT quarantine_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.released
    ADD CONSTRAINT released_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.released_series
    ADD CONSTRAINT released_series_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.released_series
    ADD CONSTRAINT released_series_purpose_subject_quantity_key UNIQUE (purpose, subject, quantity);
ALTER TABLE ONLY public.seen
    ADD CONSTRAINT seen_span_excl EXCLUDE USING gist (span WITH &&);
ALTER TABLE ONLY public.series
    ADD CONSTRAINT series_device_gateway_quantity_key UNIQUE (device, gateway, quantity);
ALTER TABLE ONLY public.series
    ADD CONSTRAINT series_pkey PRIMARY KEY (id);
CREATE INDEX aggregate_by_subject ON public.aggregate USING btree (purpose, subject);
CREATE INDEX aggregate_by_time ON public.aggregate USING btree (start_ms, id);
CREATE INDEX alarm_open ON public.alarm USING btree (event) WHERE (NOT is_cleared);
CREATE INDEX alert_event_by_time ON public.alert_event USING btree (at_ms, id);
CREATE INDEX released_by_time ON public.released USING btree (series, at_ms, id);
CREATE INDEX seen_by_start ON public.seen USING btree (lower(span));
CREATE INDEX telemetry_by_time ON ONLY public.telemetry USING btree (series, at_ms);
CREATE INDEX telemetry_stray_series_at_ms_idx ON public.telemetry_stray USING btree (series, at_ms);
CREATE INDEX telemetry_w2968_series_at_ms_idx ON public.telemetry_w2968 USING btree (series, at_ms);
ALTER INDEX public.telemetry_by_time ATTACH PARTITION public.telemetry_stray_series_at_ms_idx;
ALTER INDEX public.telemetry_by_time ATTACH PARTITION public.telemetry_w2968_series_at_ms_idx;
