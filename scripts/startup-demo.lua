-- Shows what the program does, without root and without an interface: a recorded capture is played at its own pace, one
-- engine splits it over four pipes by flow, and four readers, processes of their own, write what they get to files.
--
--     bricks -f scripts/startup-demo.lua

utilObj = dofile("scripts/utils.lua")

local outputs = 4
local here = debug.getinfo(1, "S").source:match("^@(.*)startup%-demo%.lua$") or "scripts/"
local capture = os.getenv("BRICKS_DEMO_CAPTURE") or here .. "../test/fixtures/demo.pcap"

-- Where pipes meet their readers, and where these write: a folder of our own, so that no one else is in the way.
local folder = utilObj:shell("mktemp -d"):gsub("%s+$", "")
os.setenv("BRICKS_RUNTIME_DIR", folder)

local function share(i)
  return folder .. "/share-" .. i .. ".pcap"
end

-- The readers may start first: they wait until the engine serves their pipe.
local readers = {}
for i = 0, outputs - 1 do
  readers[i] = io.popen("exec '" .. BRICKS.pipe_program .. "' --quiet --wait 'demo}" .. i .. "' > " .. share(i))
end

pe = PktEngine.new("demo", BUFFER_SZ)
lb = Brick.new("LoadBalancer", 4)
lb:connect_input("pcap:" .. capture .. "?speed=1")
-- With wait=1 a capture waits until a pipe has a reader, instead of dropping packets.
for i = 0, outputs - 1 do lb:connect_output("demo{" .. i .. "?wait=1") end
pe:link(lb)
pe:start()

print("Playing " .. capture .. " over " .. outputs .. " pipes; packets so far:")
print("   total    demo}0    demo}1    demo}2    demo}3")
repeat
  local finished = pe:wait(0.5)
  local counts = pe:stats().bricks[1].outputs
  print(string.format("%8d  %8d  %8d  %8d  %8d", pe:stats().rx_packets, unpack(counts)))
until finished
local packets = pe:stats().bricks[1].outputs
pe:stop()

print("\nThe split, each connection whole:")
for i = 0, outputs - 1 do
  -- A reader ends with its pipe.
  readers[i]:close()
  local file = io.open(share(i), "rb")
  print(string.format("  demo}%d  %6d packets, read by another process: %7d bytes", i, packets[i + 1], file:seek("end")))
  file:close()
end
os.execute("rm -rf " .. folder)
BRICKS.shutdown()
