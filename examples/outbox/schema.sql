-- A shop of one table, and the outbox of its caches.

CREATE TABLE product (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL,
    price_cents INTEGER NOT NULL
) STRICT;

-- A row for each change of a record that a cache may hold. It is inserted in the transaction that makes the change, and
-- removed when the record has been invalidated.
CREATE TABLE outbox (
    -- Never used again, also after a row was removed.
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The name of the cache.
    cache      TEXT NOT NULL,
    -- The id of the record, as text.
    id         TEXT NOT NULL,
    -- In milliseconds since 1970, for the report of the lag.
    created_at INTEGER NOT NULL DEFAULT (CAST(1000 * unixepoch('subsec') AS INTEGER))
) STRICT;
