-- read_tags: reads the clock of the tags, and the tags. Gives them values where they are
-- missing, and sees to it that they live long enough.
--
-- KEYS[1]   the clock
-- KEYS[2]   the floor of the tags (same cluster slot)
-- KEYS[3..] the tags (same cluster slot); there may be none
-- ARGV[1]   16 random hexadecimal digits, for a new epoch
-- ARGV[2]   how long the clock and the tags live from now on at least, in milliseconds
--
-- Returns  {clock, floor, tag, ...}   the floor is '' if there is none
--
-- Invariant: a value is `epoch:count`, 32 and 20 digits. A missing tag gets the value of the
-- clock. So an entry under it is good only if nothing was invalidated since the load of the
-- entry began. A missing clock begins a new epoch, whose first half is random, so no entry is
-- good. The second half names the history of this server: see invalidate_tags.

-- nil: there is none that is well formed; pcall: a value of another type is none
local function read(key)
  local value = redis.pcall('GET', key)
  if type(value) == 'string' and #value == 53 and string.find(value, '^%x+:%d+$') == 1
    and string.sub(value, 33, 33) == ':' then
    return value
  end
end

local there = {}
local clock = read(KEYS[1])
if clock then
  table.insert(there, KEYS[1])
else
  -- pcall: the user may not ask
  local info = tostring(redis.pcall('INFO', 'replication'))
  local history = string.match(info, 'master_replid:(%x+)') or ''
  history = string.sub(history .. string.rep('0', 16), 1, 16)
  clock = ARGV[1] .. history .. ':' .. string.rep('0', 20)
  redis.call('SET', KEYS[1], clock, 'PX', ARGV[2])
end

-- pcall: a value of another type says nothing
local floor = redis.pcall('GET', KEYS[2])
local values = {clock, type(floor) == 'string' and '?' or ''}
for i = 3, #KEYS do
  local tag = read(KEYS[i])
  if tag and string.sub(tag, 1, 32) == string.sub(clock, 1, 32) then
    table.insert(there, KEYS[i])
  else
    tag = clock
    redis.call('SET', KEYS[i], tag, 'PX', ARGV[2])
  end
  values[i] = tag
end

-- after the values that were missing: a full server then refuses those, as it refuses a lease
for _, key in ipairs(there) do
  if redis.call('PTTL', key) < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', key, ARGV[2])
  end
end
return values
