# shellcheck shell=sh
# The unit: enabled, and running what is on disk.

# read_service UNIT...: how systemd sees them, and every unit for swap with them (one call is dear enough):
# those that swap, those that are loaded and do not, and those that are only enabled for the next boot.
read_service() {
  zk_dropins=''
  for zk_unit in "$@"; do
    # systemd names them only once there is a unit.
    for zk_path in "/etc/systemd/system/$zk_unit.d/"*.conf "/run/systemd/system/$zk_unit.d/"*.conf \
      "/usr/local/lib/systemd/system/$zk_unit.d/"*.conf "/usr/lib/systemd/system/$zk_unit.d/"*.conf \
      "/lib/systemd/system/$zk_unit.d/"*.conf; do
      [ ! -e "$zk_path" ] || zk_dropins="$zk_dropins$zk_unit $zk_path
"
    done
  done
  zk_frame fact dropins "$zk_dropins"
  for zk_path in /etc/systemd/system/*.wants/*.swap /etc/systemd/system/*.requires/*.swap \
    /run/systemd/generator/*.swap /run/systemd/generator.early/*.swap /run/systemd/generator.late/*.swap; do
    [ ! -e "$zk_path" ] || set -- "$@" "${zk_path##*/}"
  done
  zk_units=$(TZ=UTC systemctl show --all \
    -p Id,LoadState,ActiveState,SubState,UnitFileState,FragmentPath,SourcePath,DropInPaths \
    -p NeedDaemonReload,MainPID,ExecMainStartTimestamp,NRestarts,Result,User,Group,LimitNOFILE \
    -p ProtectSystem,NoNewPrivileges -- "$@" '*.swap' 2>/dev/null)
  zk_frame fact units "$zk_units"
  # The first MainPID is the first service's: swap units have none.
  zk_main=${zk_units#*MainPID=}
  zk_main=${zk_main%%[!0-9]*}
  zk_exe=
  [ "${zk_main:-0}" = 0 ] || zk_exe=$(readlink -- "/proc/$zk_main/exe")
  zk_frame fact exe "$zk_exe"
}

# do_reload: systemd reads its files anew.
do_reload() {
  zk_run systemctl daemon-reload
}

# do_enable UNIT [OPTION]
do_enable() {
  zk_run systemctl enable --quiet ${2:+"$2"} -- "$1" || return
  # To systemd 257 links that were made without a reload are something unread, for as long as there is none.
  [ "$(systemctl show -p NeedDaemonReload --value -- "$1")" != yes ] || zk_run systemctl daemon-reload
}

# do_start UNIT [AGAIN]: asks for the start; that it serves is awaited by a step of its own. AGAIN: a unit
# that systemd starts again and again is stopped first, so that its restarts are counted anew.
do_start() {
  [ -z "${2:-}" ] || zk_run systemctl stop -- "$1" || return
  systemctl reset-failed -- "$1" 2>/dev/null
  # systemd 244 and 245 find what is new to them only after a reload.
  systemctl start --no-block -- "$1" 2>/dev/null && return
  zk_run systemctl daemon-reload || return
  zk_run systemctl start --no-block -- "$1"
}

# do_stop UNIT
do_stop() {
  zk_run systemctl stop -- "$1"
}

# do_restart UNIT [SECONDS]: until another process runs under it. That this one serves is awaited by a step of
# its own: a unit that tells when it is ready may take as long as it catches up with the leader.
do_restart() {
  zk_old=$(systemctl show -p MainPID --value -- "$1")
  systemctl reset-failed -- "$1" 2>/dev/null
  zk_run systemctl restart --no-block -- "$1" || return
  zk_left=$((${2:-90} * 20))
  while :; do
    zk_now=$(systemctl show -p MainPID --value -- "$1")
    [ "${zk_now:-0}" = 0 ] || [ "$zk_now" = "$zk_old" ] || return 0
    zk_left=$((zk_left - 1))
    # Before its process, too, a unit may end again and again.
    zk_ended=0
    [ $((zk_left % 20)) != 0 ] || zk_ended=$(systemctl show -p NRestarts --value -- "$1")
    if [ "$zk_left" -le 0 ] || [ "${zk_ended:-0}" -ge 3 ] || systemctl is-failed --quiet -- "$1"; then
      service_said "$1"
      return 1
    fi
    sleep 0.05
  done
}

# service_said UNIT: the end of its journal, for whoever has to find out why.
service_said() {
  systemctl show -p ActiveState,SubState,Result,ExecMainStatus,NRestarts -- "$1" | tr '\n' ' '
  echo
  journalctl --quiet --no-pager --output=cat --lines=25 --unit="$1" 2>/dev/null | tail -c 2500
}

# undo_service UNIT
undo_service() {
  if [ "$(systemctl show -p LoadState --value -- "$1")" = loaded ]; then
    zk_run systemctl disable --now --quiet -- "$1"
  fi
}

# do_await UNIT SECONDS COMMAND...: until COMMAND says that the server serves in a quorum.
do_await() {
  zk_unit=$1
  zk_left=$(($2 * 10))
  shift 2
  until zk_said=$(zk_tool "$@" 2>&1); do
    zk_left=$((zk_left - 1))
    if [ $((zk_left % 10)) = 0 ]; then
      case $(systemctl show -p ActiveState,NRestarts -- "$zk_unit" | tr '\n' ' ') in
        *ActiveState=failed* | *ActiveState=inactive* | *NRestarts=[3-9]* | *NRestarts=[1-9][0-9]*)
          echo "$zk_unit does not stay up"
          service_said "$zk_unit"
          return 1
          ;;
      esac
    fi
    if [ "$zk_left" -le 0 ]; then
      echo "$zk_unit runs, and does not serve in a quorum: $zk_said"
      service_said "$zk_unit"
      return 1
    fi
    # Who is waited for is at work on this machine too.
    sleep 0.1
  done
}

# await_counted BINARY SERVER OTHERS: where this server leads, until it counts so many others as synced; for
# seconds only, since whoever asked looks again.
await_counted() {
  zk_left=50
  while zk_said=$(zk_tool "$1" status --json --server "$2" 2>/dev/null); do
    case $zk_said in *'"mode":"leader"'*'"synced":'* | *'"synced":'*'"mode":"leader"'*) ;; *) return ;; esac
    zk_synced=${zk_said##*\"synced\":}
    zk_synced=${zk_synced%%[!0-9]*}
    [ "${zk_synced:-0}" -lt "$3" ] && [ "$zk_left" -gt 0 ] || return
    zk_left=$((zk_left - 1))
    sleep 0.1
  done
}

# do_majority BINARY MAJORITY SERVER...: where too few members are there to serve at all, says which are missing.
do_majority() {
  zk_binary=$1 zk_need=$2 zk_left=10
  shift 2
  while :; do
    zk_up=0 zk_down=
    for zk_server in "$@"; do
      case $(zk_tool "$zk_binary" status --server "$zk_server" 2>&1) in
        *'cannot be asked'*) zk_down="$zk_down $zk_server" ;;
        *) zk_up=$((zk_up + 1)) ;;
      esac
    done
    [ "$zk_up" -lt "$zk_need" ] || return 0
    zk_left=$((zk_left - 1))
    [ "$zk_left" -gt 0 ] || break
    sleep 0.5
  done
  echo "this server is set up, and cannot serve alone: it takes $zk_need members, and these do not answer:$zk_down"
  return 1
}

# do_verify BINARY ZNODE VALUE WRITER READER...: what is written on one server is read on another: on the first
# READER that answers, since one of them may be down, and is told of where it is looked at.
do_verify() {
  zk_binary=$1 zk_znode=$2 zk_value=$3 zk_writer=$4
  shift 4
  zk_run zk_tool "$zk_binary" shell --server "$zk_writer" create "$zk_znode" "$zk_value" || return
  zk_end=$(($(date +%s) + 20))
  until verify_read "$@"; do
    if [ "$(date +%s)" -ge "$zk_end" ]; then
      echo "$zk_znode, written on $zk_writer, cannot be read on $*: $zk_said"
      zk_tool "$zk_binary" shell --server "$zk_writer" delete "$zk_znode" >/dev/null 2>&1
      return 1
    fi
    sleep 0.1
  done
  zk_run zk_tool "$zk_binary" shell --server "$zk_writer" delete "$zk_znode"
}

# verify_read READER...: whether one of them has what `do_verify` has written.
verify_read() {
  for zk_reader in "$@"; do
    zk_said=$(zk_tool timeout 4 "$zk_binary" shell --server "$zk_reader" get "$zk_znode" 2>&1) || continue
    case $zk_said in *"$zk_value"*) return 0 ;; esac
  done
  return 1
}

# service_process UNIT: which process runs, so that another one is told from it.
service_process() {
  TZ=UTC systemctl show -p MainPID,ExecMainStartTimestamp -- "$1"
}

# do_keep FOLDER CHANGE UNIT FILE...: what UNIT runs now goes into FOLDER, for `undo_switch` and for a
# rollback. Of a process whose files were changed by a run that was cut, the first run has kept them.
do_keep() {
  zk_keep=$1 zk_change=$2 zk_unit=$3
  shift 3
  zk_process=$(service_process "$zk_unit")
  case $zk_process in
    MainPID=0* | '') ;;
    *)
      if [ -f "$zk_keep/.process" ] && [ "$(cat -- "$zk_keep/.process")" = "$zk_process" ]; then
        printf '%s\n' "$zk_change" >"$zk_keep/.change"
        zk_sync "$zk_keep/.change"
        return
      fi
      ;;
  esac
  rm -rf -- "$zk_keep.new"
  zk_run mkdir -p -m 0700 -- "$zk_keep.new" || return
  for zk_path in "$@"; do
    [ ! -e "$zk_path" ] && [ ! -L "$zk_path" ] || zk_run cp -a -- "$zk_path" "$zk_keep.new/" || return
  done
  printf '%s\n' "$zk_change" >"$zk_keep.new/.change" && printf '%s\n' "$zk_process" >"$zk_keep.new/.process" || return
  zk_sync "$zk_keep.new"
  rm -rf -- "$zk_keep"
  zk_run mv -T -- "$zk_keep.new" "$zk_keep" || return
  zk_sync "${zk_keep%/*}"
}

# undo_switch FOLDER CHANGE FILE...: what `do_keep` has kept for CHANGE takes its place again. Where it has
# come to keep nothing for it, nothing was changed either.
undo_switch() {
  zk_keep=$1 zk_change=$2
  shift 2
  [ "$(cat -- "$zk_keep/.change" 2>/dev/null)" = "$zk_change" ] || return 0
  put_back "$zk_keep" "$@"
}

# do_back FOLDER FILE...: the same on purpose; what the units in FOLDER start must still be there.
do_back() {
  for zk_path in "$1"/*.service; do
    zk_exec=$(sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' "$zk_path")
    if [ -n "$zk_exec" ] && [ ! -x "$zk_exec" ]; then
      echo "$zk_exec, which ${zk_path##*/} started then, is not there any more"
      return 1
    fi
  done
  put_back "$@"
}

# put_back FOLDER FILE...: written as of now: a process that was started before does not run it.
put_back() {
  zk_keep=$1
  shift
  for zk_path in "$@"; do
    zk_kept=$zk_keep/${zk_path##*/}
    if [ -L "$zk_kept" ]; then
      [ "$(readlink -- "$zk_kept")" != "$(readlink -- "$zk_path")" ] || continue
    elif [ ! -e "$zk_kept" ] || cmp -s -- "$zk_kept" "$zk_path"; then
      continue
    fi
    zk_tmp=$zk_path.zkprov.$$
    rm -f -- "$zk_tmp"
    zk_run cp -a -- "$zk_kept" "$zk_tmp" || return
    [ -L "$zk_tmp" ] || zk_run touch -- "$zk_tmp" || return
    zk_run mv -fT -- "$zk_tmp" "$zk_path" || return
    zk_label "$zk_path"
    zk_sync "${zk_path%/*}"
  done
  zk_run systemctl daemon-reload
}
