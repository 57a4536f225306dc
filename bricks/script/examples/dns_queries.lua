-- Counts the names that are asked for in DNS over UDP, and prints the ten most wanted at the end.
--   bricks-script --from 'eth3}0' bricks/script/examples/dns_queries.lua
local counts = {}

-- The name of the first question (RFC 1035, 4.1): its labels are behind 8 bytes of UDP and 12 of DNS.
local function question(packet)
    local dns = packet:data(packet.l4_offset + 8)
    local labels, at = {}, 13
    while #dns >= 17 and (dns:byte(at) or 0) > 0 do
        labels[#labels + 1] = dns:sub(at + 1, at + dns:byte(at))
        at = at + 1 + dns:byte(at)
    end
    if at + 4 <= #dns then return #labels == 0 and "." or table.concat(labels, "."):lower() end
end

function process(batch)
    for packet in batch:packets() do
        if packet.dst_port == 53 and packet.protocol == 17 then
            local name = question(packet)
            if name then counts[name] = (counts[name] or 0) + 1 end
        end
    end
end

function finish()
    local names = {}
    for name in pairs(counts) do names[#names + 1] = name end
    table.sort(names, function(a, b) return counts[a] > counts[b] or counts[a] == counts[b] and a < b end)
    for i = 1, math.min(10, #names) do print(counts[names[i]], names[i]) end
end
