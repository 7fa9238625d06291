-- invalidate: ends the record and every load of it in progress.
--
-- KEYS[1]  the data key
-- KEYS[2]  the lease key (same cluster slot)
-- KEYS[3]  the floor key, if the cache has versions (same cluster slot)
-- ARGV[1]  a new nonce, for a write guard
-- ARGV[2]  1: change something in any case, so that replicas can be waited for
-- ARGV[3]  with KEYS[3] only: the new version of the record, 20 digits; '?' if not known
-- ARGV[4]  with KEYS[3] only: how long the floor lasts, in milliseconds
--
-- Returns  1  there was a record
--          0  there was none
--
-- Invariant: no load that began before this step can fill after it, because the lease
-- key no longer holds its token. No reader that starts after this step shares such a
-- load. A guard stays, under another nonce, because its writer has not ended.
--
-- Invariant: a known floor never falls, and an unknown one stays unknown until it lapses.
-- No step shortens the life of a floor.

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
-- after the deletions: a full server refuses a SET only before the first write of a script
if KEYS[3] then
  local version = ARGV[3]
  -- pcall: a value of another type is no floor that is known
  local floor = redis.pcall('GET', KEYS[3])
  if floor and (type(floor) ~= 'string' or #floor ~= 20 or string.find(floor, '%D')) then
    version = '?'
  elseif floor and version ~= '?' and floor > version then
    version = floor
  end
  local life = math.max(tonumber(ARGV[4]), redis.call('PTTL', KEYS[3]))
  redis.call('SET', KEYS[3], version, 'PX', life)
end
return ended
