-- invalidate: ends the record and every load of it in progress.
--
-- KEYS[1]  the data key
-- KEYS[2]  the lease key (same cluster slot)
-- ARGV[1]  a new nonce, for a write guard
-- ARGV[2]  1: change something in any case, so that replicas can be waited for
--
-- Returns  1  there was a record
--          0  there was none
--
-- Invariant: no load that began before this step can fill after it, because the lease
-- key no longer holds its token. No reader that starts after this step shares such a
-- load. A guard stays, under another nonce, because its writer has not ended.

-- pcall: a lease is no hash and has no such field; a full server cannot set a field,
-- but it can delete
local changed = 1
if redis.pcall('HEXISTS', KEYS[2], 'nonce') ~= 1
  or type(redis.pcall('HSET', KEYS[2], 'nonce', ARGV[1])) == 'table' then
  changed = redis.call('DEL', KEYS[2])
end
-- not DEL: another thread of the server frees a large record
local ended = redis.call('UNLINK', KEYS[1])
if changed + ended == 0 and ARGV[2] == '1' then
  redis.call('SET', KEYS[2], '', 'PX', 1)
  redis.call('DEL', KEYS[2])
end
return ended
