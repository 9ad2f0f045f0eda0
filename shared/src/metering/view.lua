-- Adds tokens to an account's figure, where there is one. When it was made decides how long it lives, so its time to live
-- stays.
--
-- KEYS   1 the figure
-- ARGV   1 tokens
-- reply  the figure now; nil where there is none
if redis.call('EXISTS', KEYS[1]) == 0 then
  return false
end
return redis.call('INCRBY', KEYS[1], ARGV[1])
