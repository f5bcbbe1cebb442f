"""What of the store's SQL is written in SQLite's own way.

printf('%!.17g') keeps every digit of a float, which SQLite's JSON functions do not.
"""

from hub.store.dialect import Dialect


def _exact(column: str) -> str:
    return f"iif(typeof({column}) = 'real', json(printf('%!.17g', {column})), {column})"


SQLITE = Dialect(
    exact=_exact,
    value=lambda alias: _exact(f"{alias}.value"),
    number=lambda alias: f"iif(typeof({alias}.value) = 'real', {alias}.value, NULL)",
    listed=lambda name: f"(SELECT value FROM json_each(:{name}))",
    collected=lambda column: f"json_group_array({column})",
    row=lambda columns: f"json_array({columns})",
    rows="json_group_array(json(line))",
    pairs=lambda name: (
        "(SELECT json_extract(value, '$[0]') AS series, json_extract(value, '$[1]') AS start_ms "
        f"FROM json_each(:{name}))"
    ),
)
