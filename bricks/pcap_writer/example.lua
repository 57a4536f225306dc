-- PcapWriter: half of the demo capture's flows to a file, the other half to a sink.
local file = os.tmpname()
pe = PktEngine.new("example")
lb = Brick.new("LoadBalancer", 4)
lb:connect_input("pcap:test/fixtures/demo.pcap")
lb:connect_output("demo{0", "null:")
pw = Brick.new("PcapWriter")
pw:connect_input("demo}0")
pw:connect_output(file)
lb:link(pw)
pe:link(lb)
pe:start()
pe:wait()
pe:stop()
for _, port in ipairs(pe:stats().ports) do
  if port.driver == "pcap" and port.role == "output" then print("written: " .. port.tx_packets .. " packets") end
end
pe:delete()
os.remove(file)
