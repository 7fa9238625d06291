-- update_field: sets one field of a record that is cached.
--
-- KEYS[1]  the data key
-- KEYS[2]  the lease key (same cluster slot)
-- ARGV[1]  the field
-- ARGV[2]  its new value
-- ARGV[3]  the record's new TTL in milliseconds, or 0 to keep the one it has
--
-- Returns  1  a record is cached and has the new value
--          0  none is cached; nothing was written
--
-- Invariant: a partial record never appears. The lease ends in both cases,
-- because a load under way may hold the field's old value.

redis.call('DEL', KEYS[2])
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if ARGV[3] ~= '0' then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
