#!/bin/sh
# zkServer.sh start-foreground CFG, as go-zk's own tests start a server; with the conformance suite's
# `shim` first in PATH, `java` is the coordinator.
set -eu
[ "$1" = start-foreground ]
# SERVER_JVMFLAGS holds several words.
# shellcheck disable=SC2086
exec java -Xmx256m $SERVER_JVMFLAGS -cp "$ZOOKEEPER_CLASSPATH" org.apache.zookeeper.server.quorum.QuorumPeerMain "$2"
