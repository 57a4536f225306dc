-- Duplicator: one branch is written to a file, the other is counted.
local file = os.tmpname()
pe = PktEngine.new("example")
dup = Brick.new("Duplicator")
dup:connect_input("pcap:test/fixtures/demo.pcap")
dup:connect_output("pcap:" .. file, "null:")
pe:link(dup)
pe:start()
pe:wait()
pe:stop()
for _, port in ipairs(pe:stats().ports) do
  if port.role == "output" then print(port.driver .. ": " .. port.tx_packets .. " packets") end
end
pe:delete()
os.remove(file)
