-- FlowGen: the demo capture with its flows in the MAC addresses, and how many packets had one.
local file = os.tmpname()
pe = PktEngine.new("example")
fg = Brick.new("FlowGen", { id = 0x1234 })
fg:connect_input("pcap:test/fixtures/demo.pcap")
fg:connect_output("pcap:" .. file)
pe:link(fg)
pe:start()
pe:wait()
pe:stop()
local brick = pe:stats().bricks[1]
print(brick.tx_packets .. " packets sent, " .. brick.others.unhashed .. " of them with hash 0")
pe:delete()
os.remove(file)
