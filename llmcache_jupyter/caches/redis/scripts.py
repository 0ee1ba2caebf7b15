"""What the server does in one step, so that nobody sees it half done.

`TOUCH` takes an entry's name and the time. The others take the names of the index, of the expiry and of
entries, and these entries' digests.
"""

# only the entry that is there: a count alone would be an entry without an answer
TOUCH = """
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 'last_used', ARGV[1])
  local counted = redis.pcall('HINCRBY', KEYS[1], 'hits', 1)
  if type(counted) == 'table' and counted.err then
    redis.call('HSET', KEYS[1], 'hits', 1) -- it was no number
  end
end"""
# Scripts, as a transaction is refused whole where the server is out of memory
REMOVE = """
local removed = 0
for number = 3, #KEYS do
  removed = removed + redis.call('UNLINK', KEYS[number])
  redis.call('ZREM', KEYS[1], ARGV[number - 2])
  redis.call('ZREM', KEYS[2], ARGV[number - 2])
end
return removed"""
# only what is not there now: another kernel may have stored it a moment ago, or have another clock
PRUNE = """
local pruned = 0
for number = 3, #KEYS do
  if redis.call('EXISTS', KEYS[number]) == 0 then
    pruned = pruned + redis.call('ZREM', KEYS[1], ARGV[number - 2])
    redis.call('ZREM', KEYS[2], ARGV[number - 2])
  end
end
return pruned"""
