-- Raises markers. An older version never replaces a newer one.
--
-- KEYS   markers, all in one slot
-- ARGV   1 the markers' time to live in milliseconds, then per marker its value: the version doubled, plus one if the
--        record is stopped
-- reply  the number of markers raised
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
