#!/bin/sh
# Asks the ZooKeeper servers on this host to stop.
pids=$(pgrep -f 'java.*[Q]uorumPeerMain') || { echo "No zookeeper server to stop" >&2; exit 1; }
# shellcheck disable=SC2086
kill $pids
