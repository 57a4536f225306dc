-- One engine writes the flow of each packet into its MAC addresses and sends it into a switch, which delivers every flow to
-- the worker that has announced it.
--
--     sudo bricks -f scripts/startup-flowgen.lua
--     sudo BRICKS_IFACE=eth0 BRICKS_SWITCH=eth1 BRICKS_FLOWGEN_ID=0x1234 bricks -f scripts/startup-flowgen.lua
--
-- A worker captures what comes of FlowGens:  tcpdump -ni eth0 'ether[6:4] & 0xffffff00 = 0xbada5500'
-- and announces a flow by a frame from the flow's MAC address to the FlowGen's. See bricks/flow_gen/README.md.

-- The interface to read, the one that leads to the switch, and what workers know this FlowGen by: at random, if not given.
local interface = os.getenv("BRICKS_IFACE") or "eth3"
local switch = os.getenv("BRICKS_SWITCH") or "eth2"
local id = os.getenv("BRICKS_FLOWGEN_ID")
if id == "" then id = nil end

utilObj = dofile("scripts/utils.lua")
sampleSetup = dofile("scripts/configs/single-threaded-setups.lua")

-- Makes the engine and its graph. Nothing is opened yet.
function init()
  pe = PktEngine.new("e0", BUFFER_SZ, NO_CPU_AFF)
  sampleSetup:flowgen_config(pe, interface, switch, id)
end

-- Starts it. From now on bricks runs until it is told to end (Ctrl-C, SIGTERM, BRICKS.shutdown()).
function start()
  pe:start()
  print("Engine e0 reads " .. interface .. " and sends flows to " .. switch .. ".")
end

-- Ends it for good: for the prompt.
function stop()
  pe:show_stats()
  pe:stop()
  pe:delete()
end

init()
start()
