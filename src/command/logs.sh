# shellcheck shell=sh

# logs_show UNIT LINES
logs_show() {
  zk_frame_of log "$1" journalctl --quiet --no-pager --output=short-iso --lines="$2" --unit="$1"
}

# logs_follow UNIT LINES: a frame a line.
logs_follow() {
  journalctl --quiet --no-pager --output=short-iso --lines="$2" --follow --unit="$1" |
    while IFS= read -r zk_line; do zk_frame log "$1" "$zk_line"; done
}
