# Sourced by test/run.sh and .ci/run: until that script ends, the kernel expedites RCU's grace periods. Live tests mostly open
# and close sockets and interfaces, for each of which it would wait 8 ms or more. Needs root, else all is only slower; who
# finds it set leaves it so. Source: Linux, Documentation/admin-guide/kernel-parameters.txt, rcupdate.rcu_expedited.
expedited=/sys/kernel/rcu_expedited
if [ -w "$expedited" ] && [ "$(cat "$expedited")" = 0 ]; then
  trap 'echo 0 >"$expedited"' EXIT
  echo 1 >"$expedited"
fi
