-- Sample set-ups for several engines on one interface: each call sets up one of them. Engine number `index`, from 0,
-- reads queue `index` of the interface `iface`, so that all of them together see every packet once.
--
--     sampleSetup = dofile("scripts/configs/multi-threaded-setups.lua")
--     for i = 0, 3 do sampleSetup:lb_config(PktEngine.new("e" .. i, BUFFER_SZ), "eth3", i) end

sampleSetup = {}

-- The engine's share goes to one application: pipe `index`.
function sampleSetup:lb_config(pe, iface, index)
  local lb = Brick.new("LoadBalancer", 4):connect_input(iface):connect_output(iface .. "{" .. index)
  return pe:link(lb, PKT_BATCH, index)
end

-- The engine's share is split by flow over `count` applications: pipes index * count and following.
function sampleSetup:lbconfig(pe, iface, index, count)
  local lb = Brick.new("LoadBalancer", 4):connect_input(iface)
  for i = 0, count - 1 do lb:connect_output(iface .. "{" .. index * count + i) end
  return pe:link(lb, PKT_BATCH, index)
end

-- The engine's share is written to a capture file of its own.
function sampleSetup:pcapw_config(pe, iface, index)
  local writer = Brick.new("PcapWriter"):connect_input(iface):connect_output(iface .. "-" .. index .. ".pcap")
  return pe:link(writer, PKT_BATCH, index)
end

-- Scripts for packet-bricks call it as a function.
function lb_config(pe, iface, index)
  return sampleSetup:lb_config(pe, iface, index)
end

return sampleSetup
