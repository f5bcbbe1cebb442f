"""What of the store's SQL is written in PostgreSQL's own way. Its JSON keeps every digit of a float by itself."""

import re
from functools import lru_cache

from hub.store.dialect import Dialect

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")

POSTGRES = Dialect(
    exact=lambda column: column,
    value=lambda alias: f"coalesce(to_json({alias}.value), to_json({alias}.text))",
    number=lambda alias: f"{alias}.value",
    listed=lambda name: f"(SELECT * FROM json_array_elements_text(CAST(:{name} AS json)))",
    collected=lambda column: f"json_agg({column})",
    row=lambda columns: f"json_build_array({columns})",
    rows="CAST(coalesce(json_agg(line), '[]') AS text)",
    pairs=lambda name: (
        "(SELECT CAST(pair->>0 AS integer) AS series, CAST(pair->>1 AS bigint) AS start_ms "
        f"FROM json_array_elements(CAST(:{name} AS json)) AS pair)"
    ),
)


@lru_cache(maxsize=256)
def with_parameters(statement: str) -> str:
    """The statement with its `:name` written as psycopg wants it."""
    return _PARAMETER.sub(r"%(\1)s", statement.replace("%", "%%"))
