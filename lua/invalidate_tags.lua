-- invalidate_tags: ends every entry under one of these tags, and every load under way of such
-- an entry.
--
-- KEYS[1]   the clock
-- KEYS[2]   the floor of the tags (same cluster slot)
-- KEYS[3..] the tags (same cluster slot)
-- ARGV[1]   16 random hexadecimal digits, for a new epoch
-- ARGV[2]   how long the clock and the tags live from now on at least, in milliseconds
-- ARGV[3]   how long the floor lasts at least, in milliseconds; 0: no replica of the primary
--           is read
--
-- Returns  1  always
--
-- Invariant: the clock gets a value that it never had, and the tags get the same. No entry is
-- touched. An entry and a lease carry the value of the clock from before their load, so both
-- are older than the tag from here on.
--
-- Invariant: a server that has taken over may lack the latest values of the clock. Entries may
-- have them, on other nodes or from loads under way. So it must not give one again. It has
-- another replication ID than the former master. An epoch contains the first half of the ID
-- under which it began, and with another ID a new epoch begins.

-- Values live as long as before, or longer. This is also a write that a full server does: it
-- refuses a SET only before the first write of a script.
local life = math.max(tonumber(ARGV[2]), redis.call('PTTL', KEYS[1]))
redis.call('PEXPIRE', KEYS[1], life)

-- pcall: the user may not ask; then the epoch goes on
local info = tostring(redis.pcall('INFO', 'replication'))
local history = string.match(info, 'master_replid:(%x+)') or ''
history = string.sub(history .. string.rep('0', 16), 1, 16)

-- pcall: a value of another type is no clock
local clock = redis.pcall('GET', KEYS[1])
if type(clock) ~= 'string' or #clock ~= 53 or string.find(clock, '^%x+:%d+$') ~= 1
  or string.sub(clock, 17, 33) ~= history .. ':' then
  clock = ARGV[1] .. history .. ':' .. string.rep('0', 20)
end
-- a number of Lua is exact to 2⁵³, which no count reaches
local count = tonumber(string.sub(clock, 34)) + 1
clock = string.sub(clock, 1, 33) .. string.format('%020.0f', count)

redis.call('SET', KEYS[1], clock, 'PX', life)
for i = 3, #KEYS do
  life = math.max(tonumber(ARGV[2]), redis.call('PTTL', KEYS[i]))
  redis.call('SET', KEYS[i], clock, 'PX', life)
end
if ARGV[3] ~= '0' then
  life = math.max(tonumber(ARGV[3]), redis.call('PTTL', KEYS[2]))
  redis.call('SET', KEYS[2], '?', 'PX', life)
end
return 1
