#!/bin/sh
# @SCRIPT@.sh [-daemon] [ARGUMENT...]
set -eu
daemon=
if [ "${1:-}" = -daemon ]; then daemon=-daemon; shift; fi
exec "$(dirname "$0")/kafka-run-class.sh" ${daemon:+"$daemon"} -name @SCRIPT@ @CLASS@ "$@"
