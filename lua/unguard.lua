-- unguard: ends a write: ends the record, this writer's place in the guard, and
-- every load of the record in progress.
--
-- KEYS[1]  the data key
-- KEYS[2]  the lease key (same cluster slot)
-- ARGV[1]  the writer's token
-- ARGV[2]  a new nonce, for a guard in which other writers have a place
-- ARGV[3]  1: change something in any case, so that replicas can be waited for
--
-- Returns  1  there was a record
--          0  there was none
--
-- Invariant: the guard exists as long as one of its writers lives, but ends when the
-- place of the last one lapses. No reader that starts after this step shares a
-- load from before it: the guard has another nonce, or is gone. A lease that took
-- the guard's place, because the guard had lapsed, is gone too.

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
return ended
