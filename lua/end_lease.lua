-- end_lease: ends every load of a record that is under way, and leaves the record.
--
-- For a cluster that is moving the record's slot, where nothing can be done with both
-- keys of a record in one step. The caller deletes the record after this, and not
-- before: see `src/store/cluster/apart.rs`.
--
-- KEYS[1]  the lease key
-- ARGV[1]  a new nonce, for a write guard
--
-- Returns  1
--
-- Invariant: no load that began before this step can fill after it. A guard stays,
-- under another nonce.

-- pcall: a lease is no hash, and has no such field; and a full server changes no
-- field, but it deletes
if redis.pcall('HEXISTS', KEYS[1], 'nonce') ~= 1
  or type(redis.pcall('HSET', KEYS[1], 'nonce', ARGV[1])) == 'table' then
  redis.call('DEL', KEYS[1])
end
return 1
