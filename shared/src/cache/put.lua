-- Writes an entry and returns the lock, or only returns the lock.
--
-- KEYS   1 the entry   2 the lock, in the same slot
-- ARGV   1 the token under which the caller may hold the lock
--        2 the entry, in the form of cache/entry.rs; empty to return the lock only
--        3 the entry's time to live in milliseconds
--        4 the largest used part of Redis's memory, in percent, with which an entry is still written
--        5 1 if what is there is unreadable and is to be replaced, whatever it says
-- reply  1 written | 0 not written: nothing to write, or a newer version is there | -1 not written: memory is short
--
-- Invariant: an older version never replaces a newer one, so that a slow reader does not undo a write.
local call = redis.call
local entry, lock = KEYS[1], KEYS[2]
local FORM, VERSION_AT = 'LVC1', 9

-- Return the lock, unless it has expired and another environment holds it.
if call('GET', lock) == ARGV[1] then call('DEL', lock) end
if ARGV[2] == '' then return 0 end

-- Keep a newer version. A key of another type is replaced.
if ARGV[5] ~= '1' then
  local there = redis.pcall('GETRANGE', entry, 0, 15)
  if type(there) == 'string' and #there == 16 and string.sub(there, 1, 4) == FORM then
    local old, new = struct.unpack('<d', there, VERSION_AT), struct.unpack('<d', ARGV[2], VERSION_AT)
    if old > new then return 0 end
  end
end

-- Leave the last part of the memory to the counters. Without a maximum, memory is not short.
local info = redis.pcall('INFO', 'memory')
if type(info) ~= 'string' then return -1 end
local used = tonumber(string.match(info, '[\r\n]used_memory:(%d+)'))
local most = tonumber(string.match(info, '[\r\n]maxmemory:(%d+)'))
if not used or not most then return -1 end
if most > 0 and (used + #ARGV[2]) * 100 > most * ARGV[4] then return -1 end
call('SET', entry, ARGV[2], 'PX', ARGV[3])
return 1
