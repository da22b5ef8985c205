-- Counts this many for each of some limits, or for none if one of them is full. A limit of 10 in 300 seconds lets 10
-- come at once, and then one every 30 seconds: a key holds the time at which all that is counted is worked off.
--
-- KEYS  one for each limit
-- ARGV  how many to count: 0 only looks, below 0 gives back; then for each limit its count and its seconds
-- Returns the number of the limit that is full, 0 if none is, and the seconds until it is not, as text.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local number = tonumber(ARGV[1])
local done, full, longest = {}, 0, 0.001  -- less is rounding

for i, key in ipairs(KEYS) do
  local count, seconds = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local before = math.max(tonumber(redis.call('GET', key)) or 0, now)
  done[i] = before + number * seconds / count
  local wait = before + seconds / count - now - seconds
  if wait > longest then full, longest = i, wait end
end
if number < 0 or (full == 0 and number > 0) then
  for i, key in ipairs(KEYS) do
    redis.call('SET', key, string.format('%.6f', done[i]), 'EX', math.max(1, math.ceil(done[i] - now)))
  end
end
return {full, string.format('%.3f', longest)}
