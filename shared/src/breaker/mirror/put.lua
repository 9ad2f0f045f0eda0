-- Puts a decision about a provider here, unless a later one is here. What was seen of it before goes.
--
-- KEYS   1 the provider's breaker; see standing.lua
-- ARGV   1 how far the callers' clocks are set ahead on purpose, milliseconds
--        2 generation   3 mode   4 state   5 1 where DynamoDB has it
-- reply  1 if it is what holds now, 0 if another one does
--
-- Of two decisions of one generation the one that DynamoDB has holds. Mirrored by `supersedes`.
local breaker, generation, is_saved = KEYS[1], tonumber(ARGV[2]), ARGV[5]
local here = redis.call('HMGET', breaker, 'generation', 'state', 'saved', 'next', 'truth', 'first')
if here[1] then
  local known = tonumber(here[1])
  if known == generation and here[2] == ARGV[4] then
    if is_saved == '1' then redis.call('HSET', breaker, 'saved', 1) end
    return 1
  end
  if known > generation or (known == generation and (here[3] == '1' or is_saved == '0')) then return 0 end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
redis.call('DEL', breaker)
redis.call('HSET', breaker, 'generation', ARGV[2], 'mode', ARGV[3], 'state', ARGV[4], 'saved', is_saved,
  'since', string.format('%.0f', now))
for field, i in pairs({next = 4, truth = 5, first = 6}) do
  if here[i] then redis.call('HSET', breaker, field, here[i]) end
end
redis.call('EXPIRE', breaker, 3600)
return 1
