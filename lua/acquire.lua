-- acquire: asks for the lease on one key, after one more look at the record.
--
-- KEYS[1]  the data key
-- KEYS[2]  the lease key (same cluster slot)
-- ARGV[1]  the caller's token: random, names this one fill
-- ARGV[2]  the lease TTL in milliseconds
-- ARGV[3]  'look': hand the record over if there is one; 'skip': do not look
--          (the caller has seen the record and cannot use it)
--
-- Returns  {'record', field, value, ...}      somebody filled it in the meantime
--          {'acquired'}                       the caller may load and fill
--          {'held', token, milliseconds}      another fill is under way
--          {'guarded', nonce}                 a write is under way: load, and do not fill
--
-- Invariant: the lease key is set only where it was absent, so one token at a
-- time may fill. A token is asked for once: a caller whose reply was lost must
-- not repeat the question with it, because the first one may still be on its
-- way, and would set the lease again after an invalidation has ended it.

if ARGV[3] == 'look' then
  -- pcall: a key of a foreign type counts as no record, and the fill replaces it
  local record = redis.pcall('HGETALL', KEYS[1])
  if not record.err and #record > 0 then
    table.insert(record, 1, 'record')
    return record
  end
end

if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return {'acquired'}
end

local holder = redis.pcall('GET', KEYS[2])
if type(holder) == 'string' then
  local left = redis.call('PTTL', KEYS[2])
  if left < 0 then
    -- another program's lock without an end; it gets one, so that it cannot
    -- keep the record out of the cache for ever
    left = tonumber(ARGV[2])
    redis.call('PEXPIRE', KEYS[2], left)
  end
  return {'held', holder, left}
end

-- a guard has an end, and a nonce as long as a token; else it is another
-- program's, and would keep the record out of the cache for ever
local nonce = redis.pcall('HGET', KEYS[2], 'nonce')
if type(nonce) == 'string' and #nonce == #ARGV[1] and redis.call('PTTL', KEYS[2]) >= 0 then
  return {'guarded', nonce}
end

-- no lease and no guard: something foreign, which has no business here
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {'acquired'}
