# shellcheck shell=sh disable=SC2154 # zk_pulse is the prelude's
# The operator lock: held on a host as long as the script that took it runs, so that it goes when its
# holder's connection does. Kernel locks need no expiry; the file's text is for people.

# lock_take SECONDS RUN HOLDER: waits so long for the lock, then answers `held` or `locked`.
lock_take() {
  exec 9>>/run/zkprov.lock || return
  if flock -w "$1" 9; then
    printf '%s\n%s\n%s\n%s\n' "$2" "$3" "$(date +%s)" "$$" >/run/zkprov.lock
    zk_frame lock held ''
    return
  fi
  zk_now=$(date +%s)
  zk_frame lock refused "$zk_now
$(cat /run/zkprov.lock)"
  return 1
}

# lock_hold: until the controller goes away.
lock_hold() {
  # In the background: a shell heeds no signal while it waits for a command before it.
  cat <&3 >/dev/null 2>&1 9>&- &
  zk_cat=$!
  trap 'kill "$zk_cat" "$zk_pulse" 2>/dev/null' EXIT
  wait "$zk_cat"
}

# lock_break: ends whoever holds it, with what its script runs: at the end of a step if it can be.
lock_break() {
  if flock -n /run/zkprov.lock true; then
    echo 'nobody holds it'
    return
  fi
  zk_holder=$(sed -n 4p /run/zkprov.lock)
  case $zk_holder in
    '' | *[!0-9]*)
      echo 'the lock does not say which process holds it'
      return 1
      ;;
  esac
  sed -n '1p;2p' /run/zkprov.lock
  # The group, which a step's commands share: behind the name, which may hold anything, the third field.
  zk_stat=$(cat "/proc/$zk_holder/stat" 2>/dev/null)
  # shellcheck disable=SC2086
  set -- ${zk_stat##*) }
  kill -USR1 "$zk_holder"
  flock -w 10 /run/zkprov.lock true && return
  [ $# -gt 2 ] && kill -TERM -- "-$3"
  flock -w 5 /run/zkprov.lock true && return
  [ $# -gt 2 ] && kill -KILL -- "-$3"
  zk_run flock -w 5 /run/zkprov.lock true
}
