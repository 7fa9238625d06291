-- expire: makes a record stale from now on, and ends every load of it in progress.
--
-- KEYS[1]  the data key
-- KEYS[2]  the lease key (same cluster slot)
-- KEYS[3]  the floor key, if the cache has versions (same cluster slot)
-- ARGV[1]  a new nonce, for a write guard
-- ARGV[2]  how long the record may still be returned, in milliseconds
-- ARGV[3]  1: change something in any case, so that replicas can be waited for
-- ARGV[4]  with KEYS[3] only: how long the floor lasts, in milliseconds
--
-- Returns  1  there was a record
--          0  there was none
--
-- Invariant: no load that began before this step can fill after it. The TTL of a record
-- never grows. A cached "no such record" is removed. The floor is unknown from here on.

-- pcall: a lease is no hash and has no such field; a full server cannot set a field,
-- but it can delete
local changed = 1
if redis.pcall('HEXISTS', KEYS[2], 'nonce') ~= 1
  or type(redis.pcall('HSET', KEYS[2], 'nonce', ARGV[1])) == 'table' then
  changed = redis.call('DEL', KEYS[2])
end
if changed == 0 and ARGV[3] == '1' then
  redis.call('SET', KEYS[2], '', 'PX', 1)
  redis.call('DEL', KEYS[2])
end

if KEYS[3] then
  local life = math.max(tonumber(ARGV[4]), redis.call('PTTL', KEYS[3]))
  redis.call('SET', KEYS[3], '?', 'PX', life)
end

-- pcall: a value that is no hash has no such field
if redis.pcall('HEXISTS', KEYS[1], '__cache_aside_not_found') == 1 then
  return redis.call('DEL', KEYS[1])
end
local left = redis.call('PTTL', KEYS[1])
if left == -1 or left > tonumber(ARGV[2]) then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return left == -2 and 0 or 1
