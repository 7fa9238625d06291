-- delete_key: ends one of the two keys of a record.
--
-- For a cluster that is migrating the record's slot, where no single step can use both
-- keys. The caller ends the lease first, and the record after that: see
-- `src/redis/cluster/migrating.rs`.
--
-- KEYS[1]  the lease key, or the data key
-- ARGV[1]  for a lease key a new nonce, for a write guard; for a data key ''
-- ARGV[2]  1: change something in any case, so that replicas can be waited for
--
-- Returns  1  the key existed
--          0  it did not
--
-- Invariant: no load whose lease was at the key before this step can fill after it. A
-- guard stays, under another nonce.

-- pcall: a lease is no hash and has no such field; a full server cannot set a field,
-- but it can delete
if ARGV[1] ~= '' and redis.pcall('HEXISTS', KEYS[1], 'nonce') == 1
  and type(redis.pcall('HSET', KEYS[1], 'nonce', ARGV[1])) ~= 'table' then
  return 1
end
local ended = redis.call('UNLINK', KEYS[1])
if ended == 0 and ARGV[2] == '1' then
  redis.call('SET', KEYS[1], '', 'PX', 1)
  redis.call('DEL', KEYS[1])
end
return ended
