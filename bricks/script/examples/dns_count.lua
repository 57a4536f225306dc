-- Counts the names that are asked for in DNS over UDP, and prints the ten most wanted at the end.
--   bricks-script --from 'eth3}0' bricks/script/examples/dns_count.lua
local counts = {}

-- The name of a query's first question (RFC 1035, section 4.1): its labels stand behind 12 bytes.
local function question(dns)
    local name, at = "", 13
    while (dns:byte(at) or 0) > 0 do
        name, at = name .. dns:sub(at + 1, at + dns:byte(at)) .. ".", at + 1 + dns:byte(at)
    end
    return at + 4 <= #dns and (name == "" and "." or name:lower())
end

function process(batch)
    for packet in batch:packets() do
        local name = packet.dst_port == 53 and packet.protocol == 17 and question(packet:payload() or "")
        if name then counts[name] = (counts[name] or 0) + 1 end
    end
end

function finish()
    local names = {}
    for name in pairs(counts) do names[#names + 1] = name end
    table.sort(names, function(a, b) return counts[a] > counts[b] or counts[a] == counts[b] and a < b end)
    for i = 1, math.min(10, #names) do print(counts[names[i]], names[i]) end
end
