-- One engine with a Filter, whose rules a monitor changes while it runs.
--
--     sudo bricks-server -f scripts/startup-filter.lua
--     sudo BRICKS_IFACE=eth0 bricks-server -f scripts/startup-filter.lua
--
-- The monitor reads eth3}0. What it need not see any more, it has dropped:
--
--     bricks-filter add type=connection src=… dst=… proto=tcp sport=… dport=… action=drop duration_s=600

-- The interface to read.
local interface = os.getenv("BRICKS_IFACE") or "eth3"

pe = PktEngine.new("e0", 1024)
filter = Brick.new("Filter")
filter:connect_input(interface)
filter:connect_output(interface .. "{0", interface .. "{1")   -- the monitor; for rules that mirror packets
pe:link(filter)
pe:start()
print("Engine e0 reads " .. interface .. ". bricks-filter says what rules there are.")
