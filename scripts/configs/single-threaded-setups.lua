-- Sample set-ups for one engine: each method makes bricks, links them to the engine `pe` and returns that, not started.
-- `iface` is an interface such as "eth3". Its pipes are "eth3{0" where the engine writes and "eth3}0" where applications
-- read; one that a brick of the same set-up reads is an edge inside the engine instead.
--
--     sampleSetup = dofile("scripts/configs/single-threaded-setups.lua")
--     sampleSetup:lb_config(pe, "eth3", "eth2")

sampleSetup = {}

-- What PcapReader reads in pcapr_config(): a capture file, or a directory of them.
PCAPDIR = PCAPDIR or "."

-- `count` names X{first, X{first+1, ... of the pipes of `iface`.
local function pipes(iface, first, count)
  local names = {}
  for i = first, first + count - 1 do names[#names + 1] = iface .. "{" .. i end
  return unpack(names)
end

-- The name that the pipes of an input share: "packet:eth3?ring_mb=8" has the pipes "eth3{0", "eth3{1", ...
function sampleSetup:pipe_name(iface)
  return (iface:gsub("^%a%w*:", ""):gsub("%?.*$", ""))
end

-- Four applications and the interface `out` share the traffic by flow: addresses.
function sampleSetup:lb_config(pe, iface, out)
  local lb = Brick.new("LoadBalancer", 2):connect_input(iface)
  return pe:link(lb:connect_output(pipes(iface, 0, 4)):connect_output(out))
end

-- Four applications share the traffic by flow: addresses and ports.
function sampleSetup:simple_lbconfig(pe, iface)
  return self:lbconfig(pe, iface, 4)
end

-- As many applications as `count` says share the traffic by flow: addresses and ports.
function sampleSetup:lbconfig(pe, iface, count)
  return pe:link(Brick.new("LoadBalancer", 4):connect_input(iface):connect_outputs(self:pipe_name(iface), count))
end

-- Four applications see all of the traffic each.
function sampleSetup:dup_config(pe, iface)
  return self:dupconfig(pe, iface, 4)
end

-- As many applications as `count` says see all of the traffic each.
function sampleSetup:dupconfig(pe, iface, count)
  return pe:link(Brick.new("Duplicator"):connect_input(iface):connect_outputs(self:pipe_name(iface), count))
end

-- One application (pipe 0) sees all of the traffic, two more (pipes 2 and 3) share a copy of it by flow.
function sampleSetup:duplb_config(pe, iface)
  local dup = Brick.new("Duplicator"):connect_input(iface):connect_outputs(iface, 2)
  local lb = Brick.new("LoadBalancer", 4):connect_input(iface .. "}1"):connect_output(pipes(iface, 2, 2))
  return pe:link(dup:link(lb))
end

-- The traffic is split in two by flow and comes together again in pipe 3.
function sampleSetup:lbmrg_config(pe, iface)
  local lb = Brick.new("LoadBalancer", 4):connect_input(iface):connect_outputs(iface, 2)
  local merge = Brick.new("Merge"):connect_input(iface .. "}0", iface .. "}1"):connect_output(iface .. "{3")
  return pe:link(lb:link(merge))
end

-- As lbmrg_config(), but what comes together is written to a capture file (default out.pcap).
function sampleSetup:lbmrgpcap_config(pe, iface, file)
  local lb = Brick.new("LoadBalancer", 4):connect_input(iface):connect_outputs(iface, 2)
  local merge = Brick.new("Merge"):connect_input(iface .. "}0", iface .. "}1"):connect_output(iface .. "{2")
  local writer = Brick.new("PcapWriter"):connect_input(iface .. "}2"):connect_output(file or "out.pcap")
  return pe:link(lb:link(merge:link(writer)))
end

-- The traffic of two interfaces comes together, and four applications (pipes 2 to 5 of the second) share it by flow.
function sampleSetup:mrg_config(pe, iface, second)
  local merge = Brick.new("Merge"):connect_input(iface, second):connect_output(iface .. "{1")
  local lb = Brick.new("LoadBalancer", 4):connect_input(iface .. "}1"):connect_output(pipes(second, 2, 4))
  return pe:link(merge:link(lb))
end

-- The traffic is split in two by flow: an application (pipe 0) gets its half as it is, of the other half one (pipe 2) gets
-- what `expr` matches, default "tcp", and one (pipe 3) the rest.
function sampleSetup:lbfilt_config(pe, iface, expr)
  local lb = Brick.new("LoadBalancer", 4):connect_input(iface):connect_outputs(iface, 2)
  local filter = Brick.new("Filter", expr or "tcp"):connect_input(iface .. "}1"):connect_output(pipes(iface, 2, 2))
  return pe:link(lb:link(filter))
end

-- The captures in PCAPDIR are played to one application. `iface` only names its pipe.
function sampleSetup:pcapr_config(pe, iface)
  return pe:link(Brick.new("PcapReader"):connect_input(PCAPDIR, iface):connect_output(iface .. "{0"))
end

-- The traffic is split in four by flow; two of the parts are written to capture files.
function sampleSetup:pcapw_config(pe, iface)
  local lb = Brick.new("LoadBalancer", 4):connect_input(iface):connect_outputs(iface, 4)
  for _, part in ipairs({ 0, 2 }) do
    lb:link(Brick.new("PcapWriter"):connect_input(iface .. "}" .. part):connect_output(part .. ".pcap"))
  end
  return pe:link(lb)
end

-- One application gets the traffic, untouched: what an engine costs without a brick's work.
function sampleSetup:dummy_config(pe, iface)
  return pe:link(Brick.new("Dummy"):connect_input(iface):connect_output(iface .. "{0"))
end

-- The traffic goes to `out`, with its flows in the MAC addresses. `id`: what workers know this FlowGen by; nil: at random.
function sampleSetup:flowgen_config(pe, iface, out, id)
  return pe:link(Brick.new("FlowGen", { id = id }):connect_input(iface):connect_output(out))
end

return sampleSetup
