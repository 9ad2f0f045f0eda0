-- Charges one call to all its counters, or to none.
--
-- KEYS   one counter per charge, the window's start in its name; all in one slot
-- ARGV   per charge, in the order of KEYS: limit, milliseconds until the counter may be forgotten
-- reply  {1 if charged or 0 if refused, then per charge the count: after charging, or as it stands when refused}
--
-- A refused call writes nothing. Mirrored by `limits::decide`.
local counts = redis.call('MGET', unpack(KEYS))
local charged = 1
for i = 1, #KEYS do
  counts[i] = tonumber(counts[i] or 0)
  if counts[i] + 1 > tonumber(ARGV[2 * i - 1]) then charged = 0 end
end

if charged == 1 then
  for i = 1, #KEYS do
    counts[i] = redis.call('INCR', KEYS[i])
    if counts[i] == 1 then redis.call('PEXPIRE', KEYS[i], ARGV[2 * i]) end
  end
end

table.insert(counts, 1, charged)
return counts
