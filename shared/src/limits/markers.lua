-- Raises markers; an older version never replaces a newer one.
--
-- KEYS   markers, all in one slot
-- ARGV   1 milliseconds until they may be forgotten, then per marker its value: a version, doubled, plus one where the
--        record was stopped
-- reply  how many were raised
--
-- Read by check.lua.
local raised = 0
for i = 1, #KEYS do
  local value = tonumber(ARGV[i + 1])
  if value > tonumber(redis.call('GET', KEYS[i]) or -1) then
    redis.call('SET', KEYS[i], ARGV[i + 1], 'PX', ARGV[1])
    raised = raised + 1
  end
end
return raised
