-- release: ends a lease without a fill (no record, a failed or panicked loader).
--
-- KEYS[1]  the data key (not touched)
-- KEYS[2]  the lease key (same cluster slot)
-- ARGV[1]  the token the caller acquired
--
-- Returns  1  released
--          0  the lease was no longer ours
--
-- Invariant: no caller ends the lease of another fill.

-- the TTL is behind the token; pcall: a write guard is no string
local lease = tostring(redis.pcall('GET', KEYS[2]))
if string.sub(lease, 1, #ARGV[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[2])
