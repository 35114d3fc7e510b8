#!/bin/sh
# Starts a class of this release: kafka-run-class.sh [-daemon] [-name NAME] CLASS [ARGUMENT...]
#
# Heeds JAVA_HOME, KAFKA_HEAP_OPTS, KAFKA_JVM_PERFORMANCE_OPTS, KAFKA_LOG4J_OPTS, KAFKA_JMX_OPTS,
# KAFKA_OPTS, LOG_DIR and CLASSPATH, as the scripts of Apache's own distribution do.
set -eu

base=$(cd "$(dirname "$0")/.." && pwd)
daemon=
name=kafka
while :; do
  case ${1:-} in
    -daemon) daemon=yes; shift ;;
    -name) name=$2; shift 2 ;;
    -loggc) shift ;;
    *) break ;;
  esac
done
if [ $# -eq 0 ]; then
  echo "usage: $0 [-daemon] [-name NAME] CLASS [ARGUMENT...]" >&2
  exit 2
fi

if [ -n "${JAVA_HOME:-}" ]; then java=$JAVA_HOME/bin/java; else java=java; fi
if ! command -v "$java" >/dev/null 2>&1; then
  echo "$0: no Java: \`$java\` is not there; install one, or set JAVA_HOME" >&2
  exit 127
fi

case $1 in
  kafka.Kafka | org.apache.zookeeper.server.*)
    heap=-Xmx1G\ -Xms1G
    log4j=$base/config/log4j.properties
    ;;
  *)
    heap=-Xmx256M
    log4j=$base/config/tools-log4j.properties
    ;;
esac
logs=${LOG_DIR:-$base/logs}
tuning='-server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 -Djava.awt.headless=true'

# The words of the *_OPTS variables are meant to be split.
# shellcheck disable=SC2086
set -- ${KAFKA_HEAP_OPTS:-$heap} ${KAFKA_JVM_PERFORMANCE_OPTS:-$tuning} ${KAFKA_JMX_OPTS:-} \
  "-Dkafka.logs.dir=$logs" ${KAFKA_LOG4J_OPTS:-"-Dlog4j.configuration=file:$log4j"} ${KAFKA_OPTS:-} \
  -cp "${CLASSPATH:+$CLASSPATH:}$base/libs/*" "$@"

if [ -z "$daemon" ]; then exec "$java" "$@"; fi
mkdir -p "$logs"
nohup "$java" "$@" >"$logs/$name.out" 2>&1 </dev/null &
