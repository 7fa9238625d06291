-- unguard: ends a write: ends the record, this writer's place in the guard, and
-- every load of the record in progress. Or it caches the record that was written.
--
-- KEYS[1]  the data key
-- KEYS[2]  the lease key (same cluster slot)
-- KEYS[3]  the floor key, if the cache has versions (same cluster slot)
-- ARGV[1]  the writer's token
-- ARGV[2]  a new nonce, for a guard in which other writers have a place
-- ARGV[3]  1: change something in any case, so that replicas can be waited for
-- ARGV[4]  with KEYS[3] only: the new version of the record, 20 digits; '?' if not known
-- ARGV[5]  with KEYS[3] only: how long the floor lasts, in milliseconds
-- then, if there is a record to cache: the nonce that this writer gave the guard, the TTL of
-- the record in milliseconds, and field, value, field, value, and so on
--
-- Returns  1  there was a record
--          0  there was none
--          2  the given record is cached
--
-- Invariant: the guard exists as long as one of its writers lives, but ends when the
-- place of the last one lapses. No reader that starts after this step shares a
-- load from before it: the guard has another nonce, or is gone. A lease that took
-- the guard's place, because the guard had lapsed, is gone too.
--
-- Invariant: the given record is cached only if the guard still has the nonce that this
-- writer gave it, and no other place. Each invalidation, each update, each guard and each
-- end of another writer gives the guard another nonce. A writer that began earlier has a
-- place: it may commit later than this one, and die. So may a writer whose place has
-- lapsed. Sent again after a lost reply, this step finds no guard, and removes the record.
--
-- Invariant: the floor rises as in invalidate. But a floor that only this writer's guard
-- has made unknown is replaced.

local floor_args = KEYS[3] and 2 or 0
local own_nonce, ttl = ARGV[4 + floor_args], ARGV[5 + floor_args]
local is_alone = false
if own_nonce then
  -- pcall: a lease is no hash, and has no fields
  local guard = redis.pcall('HGETALL', KEYS[2])
  is_alone = #guard == 4
    and redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1
    and (guard[1] == 'nonce' and guard[2] or guard[4]) == own_nonce
end

local changed = 1
-- pcall: a lease is no hash, and has no such field
if redis.pcall('HEXISTS', KEYS[2], 'nonce') == 1 then
  redis.call('HDEL', KEYS[2], ARGV[1], 'nonce')
  local now = redis.call('TIME')
  now = now[1] * 1000 + math.floor(now[2] / 1000)
  local last = 0
  for _, place in ipairs(redis.call('HVALS', KEYS[2])) do
    local lapse, given = string.match(place, '^(%d+):(%d+)$')
    -- not more than it was given: see acquire
    last = math.max(last, math.min(tonumber(lapse) or 0, now + (tonumber(given) or 0)))
  end
  -- a full server cannot set a field, but it can delete
  if last > 0 and type(redis.pcall('HSET', KEYS[2], 'nonce', ARGV[2])) ~= 'table' then
    -- Never later than before. If the other writers have died, the instant is in the
    -- past: then the key is removed at once.
    if last - now < redis.call('PTTL', KEYS[2]) then
      redis.call('PEXPIREAT', KEYS[2], string.format('%.0f', last))
    end
  else
    redis.call('DEL', KEYS[2])
  end
else
  changed = redis.call('DEL', KEYS[2])
end
local ended = redis.call('DEL', KEYS[1])
if changed + ended == 0 and ARGV[3] == '1' then
  redis.call('SET', KEYS[2], '', 'PX', 1)
  redis.call('DEL', KEYS[2])
end
if KEYS[3] then
  local version = ARGV[4]
  -- pcall: a value of another type is no floor that is known
  local floor = redis.pcall('GET', KEYS[3])
  if floor == '?' .. ARGV[1] then
    floor = false
  end
  if floor and (type(floor) ~= 'string' or #floor ~= 20 or string.find(floor, '%D')) then
    version = '?'
  elseif floor and version ~= '?' and floor > version then
    version = floor
  end
  local life = math.max(tonumber(ARGV[5]), redis.call('PTTL', KEYS[3]))
  redis.call('SET', KEYS[3], version, 'PX', life)
end
if not is_alone then
  return ended
end

-- unpack() is limited: see fill
local step = 4000
for first = 6 + floor_args, #ARGV, step do
  redis.call('HSET', KEYS[1], unpack(ARGV, first, math.min(first + step - 1, #ARGV)))
end
-- pcall: if the user may not set a TTL, the record must not stay without one
local expires = redis.pcall('PEXPIRE', KEYS[1], ttl)
if type(expires) == 'table' then
  redis.call('DEL', KEYS[1])
  return expires
end
return 2
