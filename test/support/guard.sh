#!/bin/sh
# Outlives the process that holds its standard input, however that one ends, and then ends the server whose
# process id stands in $1/pid and removes the folder $1.
cat > /dev/null
if [ -f "$1/pid" ]; then
  pid=$(cat "$1/pid")
  children() { cat "/proc/$pid/task/$pid/children" 2> /dev/null || pgrep -P "$pid"; }
  # Where nobody waits for orphans they stay as zombies.
  alive() { kill -0 "$pid" && ! grep -qs '^State:.Z' "/proc/$pid/status"; } 2> /dev/null
  # QUIT makes Postgres let go of its shared memory; it and its children may be stopped.
  kill -CONT "$pid" $(children) 2> /dev/null
  kill -QUIT "$pid" 2> /dev/null
  tries=0
  while alive && [ "$tries" -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
  kill -KILL "$pid" $(children) 2> /dev/null
fi
rm -rf "$1"
