# shellcheck shell=sh
# What every script on a host starts with: an environment of its own, framed answers, a deadline.
# The script itself has been read whole before its first line runs (see `script.rs`), so stdin holds
# payloads only; it moves to descriptor 3, where no command can eat it by accident.

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
QUOTING_STYLE=literal
export PATH LC_ALL QUOTING_STYLE
unset IFS CDPATH ENV BASH_ENV POSIXLY_CORRECT TMPDIR SYSTEMD_COLORS
umask 022
cd / || exit 1
exec 3<&0 </dev/null
trap 'exit 143' TERM INT HUP
# Asked to stop: the running step is finished, the next one does not begin.
zk_bad=
trap 'zk_bad=stopped' USR1

# zk_frame KIND NAME BODY: one framed answer, written at once. The script's own first line sets the nonce.
# shellcheck disable=SC2154
zk_frame() {
  printf '\n@%s %s %s\n%s\n@%s .\n' "$zk_nonce" "$1" "$2" "$3" "$zk_nonce"
}

# zk_frame_of KIND NAME COMMAND...: a frame whose body is what COMMAND prints, byte for byte.
zk_frame_of() {
  printf '\n@%s %s %s\n' "$zk_nonce" "$1" "$2"
  shift 2
  "$@" 2>/dev/null
  printf '\n@%s .\n' "$zk_nonce"
}

# zk_pieces COMMAND...: what COMMAND prints in frames `piece`, then one frame `backup` with what it said on
# stderr, and its status in the last line.
zk_pieces() {
  export zk_nonce
  exec 5>&1
  # shellcheck disable=SC2016 # the shell that split starts expands it
  zk_said=$({
    {
      "$@" 2>&4 4>&- 5>&-
      echo "status $?" >&4
    } | SHELL=/bin/sh split --bytes=1048576 --filter='
        printf "\n@%s piece whole\n" "$zk_nonce"
        cat
        printf "\n@%s .\n" "$zk_nonce"' - /x >&5 4>&-
  } 4>&1)
  exec 5>&-
  zk_frame backup end "$zk_said"
}

# zk_guard SECONDS: stops at the next step when the controller goes away (stdin ends), and ends
# everything when that takes too long or time is up. Only after the last payload: from here on nobody
# else reads descriptor 3.
zk_guard() {
  (
    # Not the operator lock either: it must go with the script, not with its guard.
    exec 0<&3 3<&- 9>&- >/dev/null 2>&1
    timeout "$1" cat
    kill -USR1 "$$" || exit
    zk_left=20
    while [ "$zk_left" -gt 0 ]; do
      sleep 1
      kill -0 "$$" || exit
      zk_left=$((zk_left - 1))
    done
    kill -TERM 0
  ) &
}

# zk_pulse: a word every few seconds until the script ends. A cable that was pulled tells nobody: only
# what cannot be delivered makes the kernel give the connection up, and with it what holds the lock.
zk_pulse() {
  (
    exec </dev/null 3<&- 9>&- 2>/dev/null
    while sleep 5 >/dev/null && kill -0 "$$"; do zk_frame live pulse ''; done
  ) &
  zk_pulse=$!
  trap 'kill "$zk_pulse" 2>/dev/null' EXIT
}

# zk_wait PID: its status, also when a signal comes in between.
zk_wait() {
  while :; do
    wait "$1"
    zk_status=$?
    kill -0 "$1" 2>/dev/null || return "$zk_status"
  done
}

# zk_run COMMAND...: runs it; a failure names the command and its status behind its output.
zk_run() {
  "$@" && return
  zk_status=$?
  printf 'command "%s" ended with status %s\n' "$*" "$zk_status"
  return "$zk_status"
}

# zk_tool COMMAND...: the coordinator as a tool, which speaks TLS where this host's server, or its broker,
# does by now.
zk_tool() {
  if [ -f /etc/kafka/client.properties ] && grep -q \
    -e '^secureClientPort=' -e '^client\.portUnification=true' -e '^zookeeper\.ssl\.client\.enable=true' \
    -- /etc/kafka/zookeeper.properties /etc/kafka/server.properties 2>/dev/null; then
    COORDINATOR_CLIENT_CONFIG=/etc/kafka/client.properties "$@"
  else
    "$@"
  fi
}

# zk_step NAME FUNCTION ARGS...: one step of the plan: says that it begins, and how it ended.
# The function runs in a shell of its own; what it prints is told, its last 3000 bytes. Nothing is
# begun once a step has failed.
zk_step() {
  [ -z "$zk_bad" ] || return 0
  zk_frame begin "$1" ''
  zk_conclude "$@"
}

# zk_conclude NAME FUNCTION ARGS...: the same for a step that has begun.
zk_conclude() {
  [ -z "$zk_bad" ] || return 0
  zk_name=$1
  shift
  if zk_out=$("$@" 2>&1); then
    zk_kind=end zk_status=
  else
    zk_status="$?
"
    zk_kind=fail zk_bad=failed
  fi
  [ "${#zk_out}" -le 3000 ] || zk_out=$(printf '%s' "$zk_out" | tail -c 3000)
  zk_frame "$zk_kind" "$zk_name" "$zk_status$zk_out"
}

# zk_sync PATH...: on disk before what relies on it goes on.
zk_sync() {
  sync -- "$@" 2>/dev/null || sync
}

# zk_label PATH...: the SELinux label its place asks for, where there is SELinux.
zk_label() {
  ! command -v restorecon >/dev/null 2>&1 || restorecon -F -- "$@" 2>/dev/null || :
}

# zk_parents PATH: the folders above it.
zk_parents() {
  [ -d "${1%/*}/" ] || zk_run mkdir -p -- "${1%/*}"
}

# zk_way PATH: $zk_by, who may make PATH without being led elsewhere. `root` where only root can put
# something in any folder on the way there; else the owner of the first folder that somebody else owns:
# what this account does by itself can harm nobody but itself. The name of a folder that only root could
# change cannot become another one between this look and what follows.
zk_way() {
  zk_by=root zk_hops=0 zk_way=${1%/*}
  # Made by every distribution, and its own.
  case $zk_way in '' | /etc | /etc/systemd/system | /etc/sysctl.d | /run | /var/log) return 0 ;; esac
  while :; do
    set -- /
    zk_seen='' zk_rest=${zk_way#/} zk_link=''
    while [ -n "$zk_rest" ]; do
      zk_seen=$zk_seen/${zk_rest%%/*}
      case $zk_rest in */*) zk_rest=${zk_rest#*/} ;; *) zk_rest='' ;; esac
      [ -e "$zk_seen" ] || [ -L "$zk_seen" ] || break
      set -- "$@" "$zk_seen"
      [ ! -L "$zk_seen" ] || { zk_link=$zk_seen && break; }
    done
    zk_said=$(stat -c '%U|%G|%a|%F|%n' -- "$@") || return
    while IFS='|' read -r zk_user zk_group zk_mode zk_kind zk_name; do
      # A link is as good as the folder it lies in.
      [ "$zk_kind" != 'symbolic link' ] || continue
      [ "$zk_user" = root ] || { zk_by=$zk_user && break; }
      case $zk_mode in *[2367])
        echo "anybody may write to $zk_name (mode $zk_mode), and could lead root elsewhere: chmod o-w $zk_name"
        return 1
        ;;
      *[2367]?)
        case $zk_group in root | staff | wheel | adm | sudo | admin) continue ;; esac
        echo "group $zk_group may write to $zk_name (mode $zk_mode), and could lead root elsewhere: chmod g-w $zk_name"
        return 1
        ;;
      esac
    done <<END
$zk_said
END
    [ "$zk_by" = root ] && [ -n "$zk_link" ] || return 0
    zk_hops=$((zk_hops + 1))
    [ "$zk_hops" -le 16 ] || { echo "$zk_link leads in a circle" && return 1; }
    zk_said=$(readlink -- "$zk_link") || return
    case $zk_said in /*) zk_way=$zk_said ;; *) zk_way=${zk_link%/*}/$zk_said ;; esac
    zk_way=$zk_way${zk_rest:+/$zk_rest}
  done
}

# zk_roots PATH: only root may have a say on the way to PATH.
zk_roots() {
  zk_way "$1" || return
  [ "$zk_by" = root ] || {
    echo "$1 lies in a folder of $zk_by, who could lead root elsewhere; it must be root's"
    return 1
  }
}

# zk_as USER GROUP COMMAND...: as that account, with nothing of root's open beside stdin and output.
zk_as() {
  zk_user=$1 zk_group=$2
  shift 2
  if command -v setpriv >/dev/null 2>&1; then
    setpriv --reuid="$zk_user" --regid="$zk_group" --clear-groups -- "$@" 3<&- 9>&-
  elif command -v runuser >/dev/null 2>&1; then
    runuser -u "$zk_user" -g "$zk_group" -- "$@" 3<&- 9>&-
  else
    # shellcheck disable=SC2016 # another shell's parameters
    su -s /bin/sh "$zk_user" -c 'exec "$@"' -- sh "$@" 3<&- 9>&-
  fi
}

# zk_beside PATH: $zk_tmp, an empty file in the same folder that goes with the step; what hosts that died
# in the middle have left there goes now. The folder must be root's.
zk_beside() {
  for zk_tmp in "${1%/*}/.${1##*/}.zkprov."*; do
    [ ! -f "$zk_tmp" ] || rm -f -- "$zk_tmp"
  done
  zk_tmp=$(mktemp -- "${1%/*}/.${1##*/}.zkprov.XXXXXX") || return
  trap 'rm -f -- "$zk_tmp"' EXIT
}

# zk_leftovers FOLDER...: what runs that died there have left beside files goes.
zk_leftovers() {
  for zk_folder in "$@"; do
    for zk_tmp in "$zk_folder/."*.zkprov.*; do
      [ ! -f "$zk_tmp" ] || [ -L "$zk_tmp" ] || rm -f -- "$zk_tmp"
    done
  done
}

# zk_put PATH OWNER GROUP MODE SIZE CONTENT: the one way a file of root's appears: aside, whole, then renamed.
zk_put() {
  zk_roots "$1" || return
  zk_parents "$1" || return
  zk_beside "$1" || return
  printf '%s' "$6" >"$zk_tmp"
  if [ "$(stat -c %s -- "$zk_tmp")" != "$5" ]; then
    echo "could not write $5 bytes beside $1: is the disk full?"
    return 1
  fi
  zk_run chown -- "$2:$3" "$zk_tmp" || return
  zk_run chmod -- "$4" "$zk_tmp" || return
  zk_sync "$zk_tmp"
  zk_run mv -fT -- "$zk_tmp" "$1" || return
  trap - EXIT
  zk_label "$1"
  zk_sync "${1%/*}"
}

# zk_aside PATH TO: what belongs to the operator is moved away, never deleted.
zk_aside() {
  if [ -e "$2" ] || [ -L "$2" ]; then
    echo "$1 is in the way, and $2, where it would be kept, exists already"
    return 1
  fi
  zk_run mv -T -- "$1" "$2"
}
