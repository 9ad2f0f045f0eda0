-- Restores counters to what they held before Redis was emptied: adds to each of them, once.
--
-- KEYS   1 the guard: a hash of the counters that were added to; its field "began" identifies the restoration, and its
--          field "after" is the last account that is done
--        2 the sentinel, which exists while Redis holds all counters that it should
--        then counters; all in one slot
-- ARGV   1 the start of this restoration, as the caller read it from the guard
--        2 time to live of guard and sentinel, milliseconds
--        3 the last account that is done with these counters, empty for none
--        4 1 if these counters are the last
--        then per counter: the number to add, its time to live in milliseconds
-- reply  the number of counters added to; or, with nothing done, -1 if Redis has been emptied since, or -2 if another
--        run has restored everything: calls that were folded since are in the counters already and must not be added
local guard, sentinel = KEYS[1], KEYS[2]
if redis.call('EXISTS', sentinel) == 1 then return -2 end
if redis.call('HGET', guard, 'began') ~= ARGV[1] then return -1 end

-- Add to each counter that the guard does not list yet.
local added = 0
for i = 3, #KEYS do
  local at = 5 + (i - 3) * 2
  if redis.call('HSETNX', guard, KEYS[i], 1) == 1 then
    redis.call('INCRBY', KEYS[i], ARGV[at])
    redis.call('PEXPIRE', KEYS[i], ARGV[at + 1])
    added = added + 1
  end
end
-- Record the progress, and set the sentinel when all is done.
if ARGV[3] ~= '' then redis.call('HSET', guard, 'after', ARGV[3]) end
redis.call('PEXPIRE', guard, ARGV[2])
if ARGV[4] == '1' then redis.call('SET', sentinel, 1, 'PX', ARGV[2]) end
return added
