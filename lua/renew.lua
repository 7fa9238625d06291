-- renew: keeps a lease alive while its loader still runs.
--
-- KEYS[1]  the data key (not touched)
-- KEYS[2]  the lease key (same cluster slot)
-- ARGV[1]  the token the caller acquired
-- ARGV[2]  the lease TTL in milliseconds, counted from now
--
-- Returns  1  renewed
--          0  the lease was no longer ours: the fill will be refused
--
-- Invariant: a lease that lapsed or was ended never comes back to life.

if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[2], ARGV[2])
