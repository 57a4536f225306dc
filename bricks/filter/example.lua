-- Filter: the demo capture, parted into web traffic and the rest.
pe = PktEngine.new("example")
web = Brick.new("Filter", "tcp port 80 or tcp port 8080")
web:connect_input("pcap:test/fixtures/demo.pcap")
web:connect_output("null:", "null:")
pe:link(web)
pe:start()
pe:wait()
local outputs = pe:stats().bricks[1].outputs
print("web: " .. outputs[1] .. " packets, other: " .. outputs[2] .. " packets")
pe:stop()
pe:delete()
