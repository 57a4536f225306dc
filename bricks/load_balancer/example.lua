-- LoadBalancer: the demo capture over four sinks, in several ways, and how it was split.
function balance(what, options)
  local pe = PktEngine.new("example")
  local lb = Brick.new("LoadBalancer", options)
  lb:connect_input("pcap:test/fixtures/demo.pcap")
  lb:connect_output("null:", "null:", "null:", "null:")
  pe:link(lb)
  pe:start()
  pe:wait()
  local stats = pe:stats().bricks[1]
  print(what)
  for i, packets in ipairs(stats.outputs) do
    print(string.format("  output %d: %d packets, %d flows", i - 1, packets, stats.output_others.flows[i]))
  end
  pe:stop()
  pe:delete()
end

balance("addresses and ports", 4)
balance("addresses, ports and protocol", { tuple = 5 })
balance("as packet-bricks does", { hash = "toeplitz" })
balance("by the network card's hash, of which a capture has none", { hash = "nic" })
balance("by what tunnels carry, fragments with their flow", { tunnel = "inner", fragments = 4096 })
balance("half of the flows to the last one", { weights = { 1, 1, 1, 3 } })
balance("only to outputs that are read", { on_dead = "rehash" })
