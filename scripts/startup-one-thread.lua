-- One engine splits the traffic of an interface over four applications, by flow.
--
--     sudo bricks -f scripts/startup-one-thread.lua
--     sudo BRICKS_IFACE=eth0 bricks -f scripts/startup-one-thread.lua
--
-- Each application reads one pipe:  bricks-pipe 'eth3}0' | tcpdump -nr -

-- The interface to read.
local interface = os.getenv("BRICKS_IFACE") or "eth3"

utilObj = dofile("scripts/utils.lua")
sampleSetup = dofile("scripts/configs/single-threaded-setups.lua")

-- Makes the engine and its graph. Nothing is opened yet.
function init()
  utilObj:enable_nmpipes()
  pe = PktEngine.new("e0", BUFFER_SZ, NO_CPU_AFF)
  sampleSetup:simple_lbconfig(pe, interface)
  -- Others to try instead, with eth2 as the interface that packets leave by:
  -- sampleSetup:lb_config(pe, interface, "eth2")
  -- sampleSetup:dup_config(pe, interface)
  -- sampleSetup:duplb_config(pe, interface)
  -- sampleSetup:lbmrgpcap_config(pe, interface, "merged.pcap")
end

-- Starts it. From now on bricks runs until it is told to end (Ctrl-C, SIGTERM, BRICKS.shutdown()).
function start()
  pe:start()
  print("Engine e0 reads " .. interface .. ". Each of these shows a quarter of the flows:")
  for i = 0, 3 do print("    bricks-pipe '" .. interface .. "}" .. i .. "' | tcpdump -nr -") end
end

-- Ends it for good: for the prompt.
function stop()
  pe:show_stats()
  pe:stop()
  pe:delete()
end

init()
start()
