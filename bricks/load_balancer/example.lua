-- LoadBalancer: the demo capture over four sinks, and how the packets were split.
pe = PktEngine.new("example")
lb = Brick.new("LoadBalancer", 4)
lb:connect_input("pcap:test/fixtures/demo.pcap")
lb:connect_output("null:", "null:", "null:", "null:")
pe:link(lb)
pe:start()
pe:wait()
for i, packets in ipairs(pe:stats().bricks[1].outputs) do
  print("output " .. i - 1 .. ": " .. packets .. " packets")
end
pe:stop()
pe:delete()
