-- invalidate: ends the record and every load of it that is under way.
--
-- KEYS[1]  the data key
-- KEYS[2]  the lease key (same cluster slot)
-- KEYS[3]  absent, or the bar of one field update (same cluster slot)
-- ARGV[1]  a new nonce, for a write guard
-- ARGV[2]  how long the bar stands, in milliseconds
--
-- Returns  1  there was a record
--          0  there was none
--
-- Invariant: no load that began before this step can fill after it, because
-- its token stands in the lease key no longer; and nobody who comes after it shares
-- such a load. A guard stays, for its writer has not ended, under another nonce. A
-- field update that is barred does nothing when it arrives after this step.

-- pcall: a lease is no hash, and has no such field; and a full server changes no
-- field, but it deletes
if redis.pcall('HEXISTS', KEYS[2], 'nonce') ~= 1
  or type(redis.pcall('HSET', KEYS[2], 'nonce', ARGV[1])) == 'table' then
  redis.call('DEL', KEYS[2])
end
local was_there = redis.call('DEL', KEYS[1])
if KEYS[3] then
  redis.call('SET', KEYS[3], 'barred', 'PX', ARGV[2])
end
return was_there
