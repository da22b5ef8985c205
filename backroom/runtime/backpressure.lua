-- Tells whether a queue is too deep, or its oldest message too old, for new jobs that may be refused; counts them then.
--
-- KEYS  the queue's list · the hash with the number of refused jobs by queue
-- ARGV  the queue · at most so many messages · at most so many seconds · how many jobs are to come, 0 only looks
-- Returns 1 if it is too full, the messages, the age of the oldest in seconds, as text, and the jobs refused so far.
local depth, time = redis.call('LLEN', KEYS[1]), redis.call('TIME')
local found, age = pcall(function()  -- without our stamp, or of another's making: of no age
  local oldest = cjson.decode(redis.call('LINDEX', KEYS[1], -1))
  return time[1] + time[2] / 1e6 - tonumber(oldest.headers.published_at)
end)
age = found and math.max(age, 0) or 0
-- One old message may be of a long transaction, or of a clock unlike this one.
local full = depth > tonumber(ARGV[2]) or (depth > 1 and age > tonumber(ARGV[3]))
if full and ARGV[4] ~= '0' then redis.call('HINCRBY', KEYS[2], ARGV[1], ARGV[4]) end
return {full and 1 or 0, depth, string.format('%.3f', age), tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0)}
