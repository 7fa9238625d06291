CREATE TABLE product (
    id      integer PRIMARY KEY,
    name    text NOT NULL,
    -- Grows with every change. The example checks with it that no read is stale; the cache does not need it.
    version bigint NOT NULL DEFAULT 1
);

-- A row for each change of a record that a cache may hold. It is inserted in the transaction that makes the change, and
-- removed when the record has been invalidated.
CREATE TABLE outbox (
    -- Handed out before the commit: a lower one may appear later than a higher one.
    position   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The name of the cache.
    cache      text NOT NULL,
    -- The id of the record, as text.
    id         text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
