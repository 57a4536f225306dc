-- Counts packets by destination port, and prints the ten that got most at the end.
--   bricks-script --from 'eth3}0' bricks/script/examples/ports.lua
local counts = {}

function process(batch)
    for packet in batch:packets() do
        local port = packet.dst_port
        if port > 0 then counts[port] = (counts[port] or 0) + 1 end
    end
end

function finish()
    local ports = {}
    for port in pairs(counts) do ports[#ports + 1] = port end
    table.sort(ports, function(a, b) return counts[a] > counts[b] or counts[a] == counts[b] and a < b end)
    for i = 1, math.min(10, #ports) do print(counts[ports[i]], ports[i]) end
end
