#!/bin/sh
# Asks the brokers on this host to stop, in order.
pids=$(pgrep -f 'java.* kafka\.Kafka( |$)') || { echo "No kafka server to stop" >&2; exit 1; }
# shellcheck disable=SC2086
kill $pids
