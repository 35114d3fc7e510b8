# shellcheck shell=sh disable=SC2154 # zk_pulse is the prelude's
# The operator lock: held on a host as long as the script that took it runs, so that it goes when its
# holder's connection does. Kernel locks need no expiry; the file's text is for people. It lies in a folder
# that root alone can enter: who can open a file can hold its lock.

# lock_take SECONDS RUN HOLDER: waits so long for the lock, then answers `held` or `locked`.
lock_take() {
  [ -d /run/zkprov ] || mkdir -m 0700 -- /run/zkprov 2>/dev/null
  exec 9>>/run/zkprov/lock || return
  if flock -w "$1" 9; then
    lock_began "$$"
    printf '%s\n%s\n%s\n%s\n%s\n' "$2" "$3" "$(date +%s)" "$$" "$zk_began" >/run/zkprov/lock
    zk_frame lock held ''
    return
  fi
  zk_now=$(date +%s)
  zk_frame lock refused "$zk_now
$(cat /run/zkprov/lock)"
  return 1
}

# lock_began PID: $zk_began, when that process began, in ticks since the boot: with it a number that was
# given again is told from the process that had it.
lock_began() {
  zk_began=''
  { read -r zk_stat <"/proc/$1/stat"; } 2>/dev/null || return
  # Behind the name, which may hold anything, the twentieth field.
  # shellcheck disable=SC2086
  set -- ${zk_stat##*) }
  [ $# -lt 20 ] || { shift 19 && zk_began=$1; }
}

# lock_hold: until the controller goes away.
lock_hold() {
  # In the background: a shell heeds no signal while it waits for a command before it.
  cat <&3 >/dev/null 2>&1 9>&- &
  zk_cat=$!
  trap 'kill "$zk_cat" "$zk_pulse" 2>/dev/null' EXIT
  wait "$zk_cat"
}

# lock_holders: $zk_holders, the processes whose open file holds the lock, as the kernel says; the file's own
# text may name one that is long gone, and others may wait for the lock.
lock_holders() {
  zk_holders=''
  # shellcheck disable=SC2044 # paths under /proc have no blanks
  for zk_fd in $(find /proc/[0-9]*/fd -maxdepth 1 -lname /run/zkprov/lock 2>/dev/null); do
    case $(cat "${zk_fd%/fd/*}/fdinfo/${zk_fd##*/}" 2>/dev/null) in *lock:*)
      zk_fd=${zk_fd#/proc/}
      zk_holders="$zk_holders ${zk_fd%%/*}"
      ;;
    esac
  done
}

# lock_break: ends whoever holds it, with what its script runs: at the end of a step if it can be.
lock_break() {
  if [ ! -e /run/zkprov/lock ] || flock -n /run/zkprov/lock true; then
    echo 'nobody holds it'
    return
  fi
  { read -r zk_run_id && read -r zk_who && read -r zk_since && read -r zk_pid && read -r zk_then; } </run/zkprov/lock
  printf '%s\n%s\n' "$zk_run_id" "$zk_who"
  lock_holders
  lock_began "$zk_pid"
  case " $zk_holders " in *" $zk_pid "*)
    # The script's own shell, and no process that has got its number since.
    if [ -n "$zk_then" ] && [ "$zk_began" = "$zk_then" ]; then
      kill -USR1 "$zk_pid"
      ! flock -w 10 /run/zkprov/lock true || return 0
    fi
    ;;
  esac
  for zk_signal in TERM KILL; do
    lock_holders
    # shellcheck disable=SC2086
    [ -z "$zk_holders" ] || kill "-$zk_signal" $zk_holders
    ! flock -w 5 /run/zkprov/lock true || return 0
  done
  echo "somebody still holds /run/zkprov/lock, since $zk_since; as it stands it is none of zkprov's scripts"
  return 1
}
