-- Counts the reports of one request, within the bounds of its sender and its project.
--
-- KEYS
--   1  counts of the minute (hash)
--   2  minutes that have counts (sorted set)
--   3  reports of this sender's network in this minute (number)
--   4  used part of Redis's memory, in percent (number; written by the monitor)
--   5  groups of the project: id to meaning (hash)
--   6  new groups of the project in this hour (number)
--   7  new groups of the project in this hour from this sender's network (number)
--   8… reach (HyperLogLog) of each report's group, then of its overflow group
-- ARGV
--   1  minute (Unix minutes)              2  project
--   3  the sender's network (pseudonym)    4  most reports of a network in a minute
--   5  most groups of a project           6  most new groups of a project in an hour
--   7  most new groups of a network in an hour
--   8  percent of the memory from which nothing new is stored
--   9  seconds that a minute is kept      10 seconds that groups are kept
--   11 seconds that reach is kept         12 number of plain counts
--   then, for each plain count: name, amount
--   then, for each report: group, meaning, overflow group, its meaning, browser, version
--
-- Reply: the reports that were counted in a group, those beyond the network's bound, and those in an overflow group.

local minute_key, minutes_key, network_key, memory_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local groups_key, new_key, new_of_network_key = KEYS[5], KEYS[6], KEYS[7]
local minute, project, network = ARGV[1], ARGV[2], ARGV[3]
local max_reports, max_groups = tonumber(ARGV[4]), tonumber(ARGV[5])
local max_new, max_new_of_network = tonumber(ARGV[6]), tonumber(ARGV[7])
local full_percent, minute_ttl, groups_ttl, reach_ttl = tonumber(ARGV[8]), ARGV[9], ARGV[10], ARGV[11]

local function count(name, amount)
  redis.call('HINCRBY', minute_key, name, amount)
end

-- Count what belongs to no group.
local at = 13
for _ = 1, tonumber(ARGV[12]) do
  count('c|' .. project .. '|' .. ARGV[at], ARGV[at + 1])
  at = at + 2
end

-- Let the network have what is left of its reports in this minute.
local reports = (#ARGV - at + 1) / 6
local allowed = reports
if reports > 0 then
  local used = tonumber(redis.call('INCRBY', network_key, reports))
  redis.call('EXPIRE', network_key, 120)
  allowed = math.max(0, math.min(reports, max_reports - (used - reports)))
  if allowed < reports then
    count('c|' .. project .. '|beyond_network', reports - allowed)
  end
end

local is_full = tonumber(redis.call('GET', memory_key) or '0') >= full_percent
local overflowed = 0
for index = 1, allowed do
  local first = at + (index - 1) * 6
  local group, meaning, overflow, overflow_meaning = ARGV[first], ARGV[first + 1], ARGV[first + 2], ARGV[first + 3]
  local browser, version = ARGV[first + 4], ARGV[first + 5]
  local reach_key = KEYS[8 + (index - 1) * 2]

  -- Admit a new group if its sender and its project may still have one.
  if redis.call('HEXISTS', groups_key, group) == 0 then
    local is_admitted = not is_full
      and redis.call('HLEN', groups_key) < max_groups
      and tonumber(redis.call('GET', new_key) or '0') < max_new
      and tonumber(redis.call('GET', new_of_network_key) or '0') < max_new_of_network
    if is_admitted then
      redis.call('HSET', groups_key, group, meaning)
      for _, key in ipairs({ new_key, new_of_network_key }) do
        redis.call('INCR', key)
        redis.call('EXPIRE', key, 3600)
      end
    else
      -- Count it in the overflow group. There are few of these, one for each class and directive.
      overflowed = overflowed + 1
      group, reach_key = overflow, KEYS[9 + (index - 1) * 2]
      redis.call('HSETNX', groups_key, overflow, overflow_meaning)
    end
  end

  -- Count the report, and the network that it comes from.
  local prefix = 'g|' .. project .. '|' .. group .. '|'
  count(prefix .. 'n', 1)
  count(prefix .. 'b:' .. browser, 1)
  count(prefix .. 'v:' .. version, 1)
  if not is_full then
    redis.call('PFADD', reach_key, network)
    redis.call('EXPIRE', reach_key, reach_ttl)
  end
end
if overflowed > 0 then
  count('c|' .. project .. '|beyond_groups', overflowed)
end

-- Keep the minute until it is folded.
if redis.call('EXISTS', minute_key) == 1 then
  redis.call('EXPIRE', minute_key, minute_ttl)
  redis.call('ZADD', minutes_key, minute, minute)
  redis.call('EXPIRE', minutes_key, minute_ttl)
end
if redis.call('EXISTS', groups_key) == 1 then
  redis.call('EXPIRE', groups_key, groups_ttl)
end
return { allowed, reports - allowed, overflowed }
