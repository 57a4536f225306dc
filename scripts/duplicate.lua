-- One engine gives the whole traffic of an interface to each of N applications.
--
--     sudo bricks-duplicate eth0 4
--     sudo BRICKS_IFACE=eth0 BRICKS_OUTPUTS=4 bricks -f scripts/duplicate.lua
--
-- The first runs it as a daemon, the second in the foreground.
-- Application number i reads pipe i, counted from 0:  bricks-pipe 'eth0}0' | tcpdump -nr -

-- Globals of a script that runs this one come first, then the environment.
local interface = BRICKS_IFACE or os.getenv("BRICKS_IFACE")
local outputs = tonumber(BRICKS_OUTPUTS or os.getenv("BRICKS_OUTPUTS") or 2)

utilObj = dofile("scripts/utils.lua")
sampleSetup = dofile("scripts/configs/single-threaded-setups.lua")

if interface == nil or outputs == nil then
  print("Say which interface and how many applications: BRICKS_IFACE=eth0 BRICKS_OUTPUTS=4 bricks -f scripts/duplicate.lua")
  os.exit(1)
end

pe = PktEngine.new("e0", BUFFER_SZ, NO_CPU_AFF)
sampleSetup:dupconfig(pe, interface, outputs)
pe:start()

print("Engine e0 reads " .. interface .. ". Each of these shows all of the traffic:")
for i = 0, outputs - 1 do print("    bricks-pipe '" .. sampleSetup:pipe_name(interface) .. "}" .. i .. "' | tcpdump -nr -") end
