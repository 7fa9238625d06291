-- update_field: sets one field of a record that is cached.
--
-- KEYS[1]  the data key
-- KEYS[2]  the lease key (same cluster slot)
-- ARGV[1]  the field
-- ARGV[2]  its new value
-- ARGV[3]  the record's new TTL in milliseconds, or 0 to keep the one it has
-- ARGV[4]  a new nonce, for a write guard
-- ARGV[5]  a record whose remaining TTL is at most this, in milliseconds, keeps its TTL
-- ARGV[6]  1: change something in any case, so that replicas can be waited for
--
-- Called within MULTI and EXEC, after a WATCH of both keys whose reply the caller has
-- waited for. The caller may have given up, and the record may have been ended and
-- loaded again. A script that arrives after that is not run.
--
-- Returns  1  a record is cached and has the new value
--          0  none is cached; nothing was written
--
-- Invariant: a partial record never appears. The lease ends in both cases,
-- because a load under way may hold the field's old value; a guard stays, under
-- another nonce. A cached "no such record" is removed.

-- pcall: a lease is no hash and has no such field; a full server cannot set a field,
-- but it can delete
local changed = 1
if redis.pcall('HEXISTS', KEYS[2], 'nonce') ~= 1
  or type(redis.pcall('HSET', KEYS[2], 'nonce', ARGV[4])) == 'table' then
  changed = redis.call('DEL', KEYS[2])
end
if changed == 0 and ARGV[6] == '1' then
  redis.call('SET', KEYS[2], '', 'PX', 1)
  redis.call('DEL', KEYS[2])
end

if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then
  return 0
end
if redis.call('HEXISTS', KEYS[1], '__cache_aside_not_found') == 1 then
  redis.call('DEL', KEYS[1])
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
local left = redis.call('PTTL', KEYS[1])
if ARGV[3] ~= '0' and (left == -1 or left > tonumber(ARGV[5])) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
