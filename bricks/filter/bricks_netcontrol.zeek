##! A NetControl plugin that passes rules on to a Filter of packet-bricks, so that what Zeek need not see any more does
##! not reach it. Zeek reads output 0 of the Filter and runs as a user who may use the control socket.
##!
##! Not tested with Zeek; the command lines that it makes are. In local.zeek:
##!
##!     @load ./bricks_netcontrol
##!     event NetControl::init() { NetControl::activate(NetControl::create_bricks("e0"), 0); }
##!     event connection_established(c: connection)
##!         {
##!         local e = NetControl::Entity($ty=NetControl::CONNECTION, $conn=c$id);
##!         if ( c$id$resp_p == 443/tcp )
##!             NetControl::add_rule(NetControl::Rule($ty=NetControl::DROP, $target=NetControl::MONITOR, $entity=e,
##!                                                   $expire=10 min));
##!         }
##!
##! It takes rules of the target MONITOR only, as this and those of NetControl::shunt_flow. Those that are to block traffic,
##! as of NetControl::drop_address, are for a plugin that can: here they would only hide the traffic from Zeek.

@load base/frameworks/netcontrol
@load base/utils/exec

module NetControl;

export {
	## The plugin for the only Filter of an engine.
	global create_bricks: function(engine: string): PluginState;
}

# The ids of Filter's rules, by engine and the ids of NetControl.
global bricks_rules: table[string, string] of string;

function bricks_name(p: PluginState): string
	{
	return fmt("bricks-%s", p$config["engine"]);
	}

# What a rule matches, as fields of Filter; "" for what Filter does not know.
function bricks_match(e: Entity): string
	{
	switch ( e$ty )
		{
		case CONNECTION:
			# Zeek has type and code of ICMP as ports, which Filter has not.
			if ( ! is_tcp_port(e$conn$resp_p) && ! is_udp_port(e$conn$resp_p) )
				return "";
			return fmt("type=connection src=%s dst=%s proto=%s sport=%d dport=%d", e$conn$orig_h, e$conn$resp_h,
			           get_port_transport_proto(e$conn$resp_p), port_to_count(e$conn$orig_p),
			           port_to_count(e$conn$resp_p));
		case ADDRESS:
			return fmt("type=ip address=%s", e$ip);
		case MAC:
			return fmt("type=mac address=%s", safe_shell_quote(e$mac));
		case FLOW:
			if ( e$flow?$src_m || e$flow?$dst_m )
				return "";
			local text = "type=flow";
			if ( e$flow?$src_h )
				text += fmt(" src=%s", e$flow$src_h);
			if ( e$flow?$dst_h )
				text += fmt(" dst=%s", e$flow$dst_h);
			if ( e$flow?$src_p )
				text += fmt(" proto=%s sport=%d", get_port_transport_proto(e$flow$src_p), port_to_count(e$flow$src_p));
			if ( e$flow?$dst_p )
				text += fmt(" %sdport=%d", e$flow?$src_p ? "" : fmt("proto=%s ", get_port_transport_proto(e$flow$dst_p)),
				            port_to_count(e$flow$dst_p));
			return text;
		}
	return "";
	}

function bricks_add_rule(p: PluginState, r: Rule): bool
	{
	local match = bricks_match(r$entity);
	if ( match == "" || r$target != MONITOR || ( r$ty != DROP && r$ty != WHITELIST ) )
		return F;
	local action = r$ty == DROP ? "drop" : "pass";
	local cmd = fmt("bricks-filter -e %s add %s action=%s priority=%d", p$config["engine"], match, action, r$priority);
	# NetControl has to hear when a rule ends, so it ends them itself. Where Zeek does not live to do it, Filter does.
	if ( r?$expire && r$expire > 0 secs )
		cmd += fmt(" duration_s=%f", interval_to_double(r$expire + 1 min));
	when [p, r, cmd] ( local done = Exec::run([$cmd=cmd]) )
		{
		if ( done$exit_code == 0 )
			{
			bricks_rules[p$config["engine"], r$id] = done$stdout[0];
			event NetControl::rule_added(r, p);
			}
		else
			event NetControl::rule_error(r, p, done?$stderr ? done$stderr[0] : "bricks-filter failed");
		}
	return T;
	}

function bricks_remove_rule(p: PluginState, r: Rule, reason: string &default=""): bool
	{
	local engine = p$config["engine"];
	if ( [engine, r$id] !in bricks_rules )
		return F;
	local cmd = fmt("bricks-filter -e %s remove %s", engine, bricks_rules[engine, r$id]);
	delete bricks_rules[engine, r$id];
	when [p, r, cmd] ( local done = Exec::run([$cmd=cmd]) )
		{
		if ( done$exit_code == 0 )
			event NetControl::rule_removed(r, p);
		else
			event NetControl::rule_error(r, p, done?$stderr ? done$stderr[0] : "bricks-filter failed");
		}
	return T;
	}

global bricks_plugin = Plugin($name=bricks_name, $can_expire=F, $add_rule=bricks_add_rule,
                              $remove_rule=bricks_remove_rule);

function create_bricks(engine: string): PluginState
	{
	return PluginState($plugin=bricks_plugin, $config=table(["engine"] = engine));
	}
