-- Helpers for start-up scripts, and the constants that sample set-ups use.
--
--     utilObj = dofile("scripts/utils.lua")
--     utilObj:sleep(2)

-- Rounds of statistics that a script prints before it ends by itself.
STATS_PRINT_CYCLE_DEFAULT = 20
-- Seconds between two of them.
SLEEP_TIMEOUT = 2
-- Packets that an engine handles in one go.
PKT_BATCH = 1024
-- Pipes that netmap may make, where it is there.
NETMAP_PIPES = 64
-- An engine thread on any processor.
NO_CPU_AFF = -1
-- An interface that is read as a whole, not by queues.
NO_QIDS = -1
-- Slots of 2048 bytes in each pipe.
BUFFER_SZ = 1024

utilObj = {}

-- Where the netmap module is, if it is loaded.
local netmap_module = "/sys/module/netmap"

-- True where interfaces can be opened: by netmap only if its module is loaded, by other drivers on any Linux.
function utilObj:netmap_loaded()
  return BRICKS.get_driver() ~= "netmap" or self:directory_exists(netmap_module)
end

-- Lets netmap make pipes. Without the module, and in versions of it that need no leave, there is nothing to set.
function utilObj:enable_nmpipes()
  local file = io.open(netmap_module .. "/parameters/default_pipes", "w")
  if file then
    file:write(NETMAP_PIPES)
    file:close()
  end
end

-- True for root: interfaces can be opened only by root (or with CAP_NET_RAW).
function utilObj:check_superuser()
  return tonumber(self:shell("id -u")) == 0
end

-- Waits so many seconds. Engines and other scripts go on meanwhile.
function utilObj:sleep(seconds)
  BRICKS.sleep(seconds)
end

-- Runs a command and returns what it printed.
function utilObj:shell(command)
  local pipe = io.popen(command)
  local text = pipe:read("*all")
  pipe:close()
  return text
end

function utilObj:directory_exists(path)
  return os.execute("test -d '" .. path:gsub("'", "'\\''") .. "'") == 0
end

return utilObj
