-- Everything that the server holds.
--
-- reply  per key: its name, what DUMP gives, milliseconds to live, its value
local all = {}
for n, key in ipairs(redis.call('KEYS', '*')) do
  local kind, value = redis.call('TYPE', key).ok, nil
  if kind == 'string' then
    value = {redis.call('GET', key)}
  elseif kind == 'zset' then
    value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  else
    value = redis.call('HGETALL', key)
  end
  all[n] = {key, redis.call('DUMP', key), redis.call('PTTL', key), value}
end
return all
