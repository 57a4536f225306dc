-- Four engines, each with a thread of its own, read one interface and split its traffic over four applications.
--
--     sudo bricks -f scripts/startup-multi-threads.lua
--     sudo BRICKS_IFACE=eth0 bricks -f scripts/startup-multi-threads.lua
--
-- Engine e0 takes queue 0 of the interface and feeds pipe 0, and so on; every packet goes to one of them, by flow.

-- The interface to read, and by how many engines.
local interface = os.getenv("BRICKS_IFACE") or "eth3"
local threads = 4

utilObj = dofile("scripts/utils.lua")
sampleSetup = dofile("scripts/configs/multi-threaded-setups.lua")

local engines = {}

-- The processor for an engine: one each, where there are enough of them.
local function processor(index)
  local count = tonumber(utilObj:shell("nproc"))
  if count == nil or index >= count then return NO_CPU_AFF end
  return index
end

-- Makes the engines and their graphs. Nothing is opened yet.
function init()
  utilObj:enable_nmpipes()
  for i = 0, threads - 1 do
    local pe = PktEngine.new("e" .. i, BUFFER_SZ, processor(i))
    engines[#engines + 1] = sampleSetup:lb_config(pe, interface, i)
  end
end

-- Starts them. From now on bricks runs until it is told to end (Ctrl-C, SIGTERM, BRICKS.shutdown()).
function start()
  for _, pe in ipairs(engines) do pe:start() end
  print("Engines e0 to e" .. (threads - 1) .. " read " .. interface .. ". Each of these shows a part of the flows:")
  for i = 0, threads - 1 do print("    bricks-pipe '" .. interface .. "}" .. i .. "' | tcpdump -nr -") end
end

-- Ends them for good: for the prompt.
function stop()
  BRICKS.show_stats()
  for _, pe in ipairs(engines) do
    pe:stop()
    pe:delete()
  end
end

init()
start()
