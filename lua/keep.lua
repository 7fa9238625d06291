-- keep: gives the record that is cached its TTL again and ends the lease, if the lease is
-- still ours. For a load that found nothing changed.
--
-- KEYS[1]  the data key
-- KEYS[2]  the lease key (same cluster slot)
-- ARGV[1]  the token the caller acquired
-- ARGV[2]  the TTL of the record in milliseconds
-- ARGV[3]  for a lookup under tags only: the clock, as the caller has read it
--
-- Returns  1  kept
--          0  refused: the lease lapsed, or a write ended it; or the record is gone
--
-- Invariant: the caller has read the record after it got the lease. Whatever changes the
-- record also ends the lease. So what is kept here is what the caller has read.
--
-- Invariant: under tags the record gets the clock from before this load, which has found it
-- unchanged: see fill.

-- the TTL is behind the token; pcall: a write guard is no string
local lease = tostring(redis.pcall('GET', KEYS[2]))
if string.sub(lease, 1, #ARGV[1]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[2])
local kept = redis.call('PEXPIRE', KEYS[1], ARGV[2])
if kept == 1 and ARGV[3] then
  -- pcall: a full server cannot set the field. With its older clock the record is still right.
  redis.pcall('HSET', KEYS[1], '__cache_aside_clock', ARGV[3])
end
return kept
