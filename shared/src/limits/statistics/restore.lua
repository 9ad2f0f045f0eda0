-- Adds to counters what they held before Redis was emptied, each once.
--
-- KEYS   1 the guard: a hash of the counters that were added to; its field "began" tells one restoration from another, its
--          field "after" is the last account that is done
--        2 the sentinel, whose being there says that Redis holds what it should
--        then counters; all in one slot
-- ARGV   1 when the caller found this restoration to have begun
--        2 milliseconds until guard and sentinel may be forgotten
--        3 the last account that is done with these, empty for none
--        4 1 if these are the last
--        then per counter: what to add, milliseconds until it may be forgotten
-- reply  how many counters were added to; or, with nothing done, -1: Redis has been emptied since; -2: another run has
--        restored everything, and what has been folded since must not be added
local guard, sentinel = KEYS[1], KEYS[2]
if redis.call('EXISTS', sentinel) == 1 then return -2 end
if redis.call('HGET', guard, 'began') ~= ARGV[1] then return -1 end

local added = 0
for i = 3, #KEYS do
  local at = 5 + (i - 3) * 2
  if redis.call('HSETNX', guard, KEYS[i], 1) == 1 then
    redis.call('INCRBY', KEYS[i], ARGV[at])
    redis.call('PEXPIRE', KEYS[i], ARGV[at + 1])
    added = added + 1
  end
end
if ARGV[3] ~= '' then redis.call('HSET', guard, 'after', ARGV[3]) end
redis.call('PEXPIRE', guard, ARGV[2])
if ARGV[4] == '1' then redis.call('SET', sentinel, 1, 'PX', ARGV[2]) end
return added
