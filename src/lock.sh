# shellcheck shell=sh
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
  cat <&3 >/dev/null
}

# lock_break: ends whoever holds it.
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
  zk_run kill -TERM "$zk_holder"
  zk_run flock -w 10 /run/zkprov.lock true
}
