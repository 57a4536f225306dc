-- Sample set-ups for several engines: each method sets one of them up. `count` engines read the interface `inport`, each
-- its own queue (`index`, from 0), so that all of them together see every packet once.
--
--     dofile("scripts/configs/multi-threaded-setups.lua")
--     for i = 0, 3 do sampleSetup:lb_config(engines[i + 1], "eth3", i) end

sampleSetup = {}

-- The names of `pipes` pipes of the engine with this index: X{0 X{1 ... for the first, the next numbers for the second.
local function outputs(inport, index, pipes)
  local names = {}
  for i = 1, pipes do names[i] = inport .. "{" .. (index * pipes + i - 1) end
  return names
end

-- One application for each engine.
function sampleSetup:simple_lbconfig(pe, inport, index)
  return self:lb_config(pe, inport, index, 1)
end

-- As many applications as `pipes` says (default 4) for each engine share its queue's traffic by flow.
function sampleSetup:lb_config(pe, inport, index, pipes)
  local lb = Brick.new("LoadBalancer", 4):connect_input(inport)
  lb:connect_output(unpack(outputs(inport, index, pipes or 4)))
  return pe:link(lb, PKT_BATCH, index)
end

-- As many applications as `pipes` says (default 4) for each engine see all of its queue's traffic each.
function sampleSetup:dup_config(pe, inport, index, pipes)
  local dup = Brick.new("Duplicator"):connect_input(inport)
  dup:connect_output(unpack(outputs(inport, index, pipes or 4)))
  return pe:link(dup, PKT_BATCH, index)
end

-- Each engine writes its queue's traffic to a capture file of its own.
function sampleSetup:pcapw_config(pe, inport, index)
  local writer = Brick.new("PcapWriter"):connect_input(inport):connect_output(inport .. "-" .. index .. ".pcap")
  return pe:link(writer, PKT_BATCH, index)
end

-- Each engine sends its queue's traffic on to another interface, untouched.
function sampleSetup:dummy_config(pe, inport, index, outport)
  local dummy = Brick.new("Dummy"):connect_input(inport):connect_output(outport)
  return pe:link(dummy, PKT_BATCH, index)
end
