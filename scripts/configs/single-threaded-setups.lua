-- Sample set-ups for one engine: each method links bricks to the engine `pe` and returns it, not yet started.
-- `inport` is an interface such as "eth3"; its pipes are "eth3{0" (the engine's end), read as "eth3}0".
--
--     dofile("scripts/configs/single-threaded-setups.lua")
--     setupType = sampleSetup:lb_config(pe, "eth3", "eth2")

sampleSetup = {}

-- A brick of this type between these ports.
local function brick(name, argument, inputs, outputs)
  local b = argument == nil and Brick.new(name) or Brick.new(name, argument)
  return b:connect_input(unpack(inputs)):connect_output(unpack(outputs))
end

-- `count` names X{0, X{1, ... of one end of the pipes of `port`.
local function pipes(port, brace, count)
  local names = {}
  for i = 1, count do names[i] = port .. brace .. (i - 1) end
  return names
end

-- Four applications and an interface share the traffic by flow.
function sampleSetup:lb_config(pe, inport, outport)
  local outputs = pipes(inport, "{", 4)
  outputs[#outputs + 1] = outport
  return pe:link(brick("LoadBalancer", 2, { inport }, outputs), PKT_BATCH, NO_QIDS)
end

-- Four applications share the traffic by flow, addresses and ports.
function sampleSetup:simple_lbconfig(pe, inport)
  return pe:link(brick("LoadBalancer", 4, { inport }, pipes(inport, "{", 4)), PKT_BATCH, NO_QIDS)
end

-- As many applications as `count` says share the traffic by flow, addresses and ports.
function sampleSetup:lbconfig(pe, inport, count)
  local lb = Brick.new("LoadBalancer", 4):connect_input(inport):connect_outputs(inport, count)
  return pe:link(lb, PKT_BATCH, NO_QIDS)
end

-- Four applications and an interface see all of the traffic each.
function sampleSetup:dup_config(pe, inport, outport)
  local outputs = pipes(inport, "{", 4)
  outputs[#outputs + 1] = outport
  return pe:link(brick("Duplicator", nil, { inport }, outputs), PKT_BATCH, NO_QIDS)
end

-- As many applications as `count` says see all of the traffic each.
function sampleSetup:dupconfig(pe, inport, count)
  local dup = Brick.new("Duplicator"):connect_input(inport):connect_outputs(inport, count)
  return pe:link(dup, PKT_BATCH, NO_QIDS)
end

-- The traffic is split in two by flow; the first half goes to two applications, each of which sees all of it.
function sampleSetup:duplb_config(pe, inport, outport)
  local lb = brick("LoadBalancer", 2, { inport }, { inport .. "{0", inport .. "{1", outport })
  local dup = brick("Duplicator", nil, { inport .. "}0" }, { inport .. "{2", inport .. "{3" })
  return pe:link(lb:link(dup), PKT_BATCH, NO_QIDS)
end

-- The traffic is split in four by flow; two of the parts come together again and leave by an interface.
function sampleSetup:lbmrg_config(pe, inport, outport)
  local lb = brick("LoadBalancer", 2, { inport }, pipes(inport, "{", 4))
  local merge = brick("Merge", nil, { inport .. "}1", inport .. "}2" }, { outport })
  return pe:link(lb:link(merge), PKT_BATCH, NO_QIDS)
end

-- As lbmrg_config(), but the two parts are written to a capture file.
function sampleSetup:lbmrgpcap_config(pe, inport, file)
  local lb = brick("LoadBalancer", 2, { inport }, pipes(inport, "{", 4))
  local merge = brick("Merge", nil, { inport .. "}1", inport .. "}2" }, { inport .. "{4" })
  local writer = brick("PcapWriter", nil, { inport .. "}4" }, { file or "merged.pcap" })
  return pe:link(lb:link(merge:link(writer)), PKT_BATCH, NO_QIDS)
end

-- The traffic of two interfaces comes together in one pipe.
function sampleSetup:mrg_config(pe, inport, second)
  return pe:link(brick("Merge", nil, { inport, second }, { inport .. "{0" }), PKT_BATCH, NO_QIDS)
end

-- A capture file, or a directory of them, is played to two applications. `inport` only names the pipes.
function sampleSetup:pcapr_config(pe, path, inport)
  local outputs = pipes(inport, "{", 2)
  return pe:link(brick("PcapReader", nil, { path, inport }, outputs), PKT_BATCH, NO_QIDS)
end

-- The traffic is written to a capture file.
function sampleSetup:pcapw_config(pe, inport, file)
  return pe:link(brick("PcapWriter", nil, { inport }, { file or "traffic.pcap" }), PKT_BATCH, NO_QIDS)
end

-- The traffic leaves by another interface, untouched.
function sampleSetup:dummy_config(pe, inport, outport)
  return pe:link(brick("Dummy", nil, { inport }, { outport }), PKT_BATCH, NO_QIDS)
end
