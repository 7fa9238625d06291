-- invalidate: ends the record and every load of it that is under way.
--
-- KEYS[1]  the data key
-- KEYS[2]  the lease key (same cluster slot)
--
-- Returns  1  there was a record
--          0  there was none
--
-- Invariant: no load that began before this step can fill after it, because
-- its token stands in the lease key no longer.

redis.call('DEL', KEYS[2])
return redis.call('DEL', KEYS[1])
