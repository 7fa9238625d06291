-- back_off: releases the lease of a refresh that failed, and lets no caller retry for
-- a while.
--
-- KEYS[1]  the data key (not touched)
-- KEYS[2]  the lease key (same cluster slot)
-- ARGV[1]  the token the caller acquired
-- ARGV[2]  the pause in milliseconds
--
-- Returns  1  done
--          0  the lease was no longer ours
--
-- Invariant: no caller ends the lease of another fill. The value set here is not a
-- lease: `acquire` replaces it, so that a reader without a record does not wait for
-- it. Only `refresh` respects it.

-- the TTL is behind the token; pcall: a write guard is no string
local lease = tostring(redis.pcall('GET', KEYS[2]))
if string.sub(lease, 1, #ARGV[1]) ~= ARGV[1] then
  return 0
end
-- pcall: a full server cannot set, but it can delete; then the next reader tries
if redis.pcall('SET', KEYS[2], 'back-off:' .. ARGV[2], 'PX', ARGV[2]).err then
  redis.call('DEL', KEYS[2])
end
return 1
