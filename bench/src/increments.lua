-- The least that a script for three limits does: no time, no limits, no expiry.
local count
for _, key in ipairs(KEYS) do count = redis.call('INCRBY', key, 1) end
return count
