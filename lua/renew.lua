-- renew: keeps a lease alive while its loader still runs, or a writer's place in
-- a guard while its change of the primary still runs.
--
-- KEYS[1]  the data key (not touched)
-- KEYS[2]  the lease key (same cluster slot)
-- ARGV[1]  the token of the lease, or of the writer
-- ARGV[2]  the TTL in milliseconds, counted from now
--
-- Returns  1  renewed
--          0  it was no longer ours: a fill will be refused
--
-- Invariant: a lease that lapsed or was ended never comes back to life.

if redis.pcall('GET', KEYS[2]) == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
-- pcall: a value that is not a guard has no such field
if redis.pcall('HEXISTS', KEYS[2], ARGV[1]) ~= 1 then
  return 0
end

local now = redis.call('TIME')
local lapse = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[2]
redis.call('HSET', KEYS[2], ARGV[1], string.format('%.0f', lapse))
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
return 1
