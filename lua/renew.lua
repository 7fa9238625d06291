-- renew: keeps a lease alive while its loader still runs, or a writer's place in
-- a guard while its change of the primary still runs.
--
-- KEYS[1]  the data key (not touched)
-- KEYS[2]  the lease key (same cluster slot)
-- KEYS[3]  the floor key, if the cache has versions (same cluster slot)
-- ARGV[1]  the token of the lease, or of the writer
-- ARGV[2]  the TTL in milliseconds, counted from now
-- ARGV[3]  with KEYS[3] only: how long a floor lasts, in milliseconds
--
-- Returns  1  renewed
--          0  it was no longer ours: a fill will be refused
--
-- Invariant: a lease that lapsed or was ended never comes back to life. A lease and a
-- place say how long they were given: see acquire. The floor of a guard lasts longer than
-- its places: see guard.

-- pcall: a write guard is no string
local held = tostring(redis.pcall('GET', KEYS[2]))
if string.sub(held, 1, #ARGV[1]) == ARGV[1] then
  -- the TTL comes last; the clock of a load under tags stays
  local lease = string.gsub(held, '%d+$', ARGV[2])
  if held == lease then
    return redis.call('PEXPIRE', KEYS[2], ARGV[2])
  end
  redis.call('SET', KEYS[2], lease, 'PX', ARGV[2])
  return 1
end
-- pcall: a value that is not a guard has no such field
if redis.pcall('HEXISTS', KEYS[2], ARGV[1]) ~= 1 then
  return 0
end

local now = redis.call('TIME')
local lapse = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[2]
redis.call('HSET', KEYS[2], ARGV[1], string.format('%.0f:%s', lapse, ARGV[2]))
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
if KEYS[3] then
  local left = redis.call('PTTL', KEYS[3])
  if left == -2 then
    redis.call('SET', KEYS[3], '?', 'PX', ARGV[2] + ARGV[3])
  elseif left < ARGV[2] + ARGV[3] then
    redis.call('PEXPIRE', KEYS[3], ARGV[2] + ARGV[3])
  end
end
return 1
