# shellcheck shell=sh disable=SC2154 # the prelude's
# The move between Apache ZooKeeper and the coordinator, on one host. Which of the two may run stands in one
# file, with the name of the move. Every step looks at it first, writes it before it acts, and can be done
# again: a host that died in the middle goes on from there. Work below a data directory is done as the account
# that owns it, which could lead root elsewhere.

move_folder=/var/lib/zkprov/migration

# move_state: $zk_state, which of them may run here, and $zk_move, by which move.
move_state() {
  zk_state=zookeeper zk_move=''
  [ ! -s $move_folder/state ] || read -r zk_state zk_move <$move_folder/state
}

# move_tell: the same as a fact, where there was ever a move.
move_tell() {
  [ -s $move_folder/state ] || return 0
  move_state
  zk_frame fact move "$zk_state $zk_move"
}

# move_become STATE MOVE: on disk before what follows.
move_become() {
  [ -d $move_folder ] || zk_run mkdir -p -m 0700 -- $move_folder || return
  printf '%s %s\n' "$1" "$2" >$move_folder/state.new && zk_sync $move_folder/state.new &&
    zk_run mv -fT -- $move_folder/state.new $move_folder/state && zk_sync $move_folder
}

# move_only MOVE STATE...: refuses in any other state, and beside another move.
move_only() {
  zk_want=$1
  shift
  move_state
  for zk_may in "$@"; do
    if [ "$zk_state" = "$zk_may" ]; then
      # Where nothing is under way the last move is over.
      [ "$zk_state" = zookeeper ] || [ "$zk_state" = coordinator ] || [ "$zk_move" = "$zk_want" ] || break
      return 0
    fi
  done
  echo "this host is in state $zk_state of move ${zk_move:-(none)}, and not as move $zk_want needs it"
  return 1
}

# move_servers: processes of Apache ZooKeeper, by whomever they were started.
move_servers() {
  grep -lzxE 'org\.apache\.zookeeper\.server\.(quorum\.QuorumPeerMain|ZooKeeperServerMain)' /proc/[0-9]*/cmdline 2>/dev/null
}

# do_bar MOVE UNIT: Apache's unit can be started by nobody any more; what runs of it runs on.
do_bar() {
  move_only "$1" zookeeper fenced || return
  if [ "$zk_state" = zookeeper ]; then
    rm -rf -- $move_folder/unit
    zk_run mkdir -p -m 0700 -- $move_folder/unit || return
    systemctl is-enabled -- "$2" >$move_folder/unit/enabled 2>/dev/null
    zk_sync $move_folder/unit
    move_become fenced "$1" || return
  fi
  zk_place=/etc/systemd/system/$2
  if [ -e "$zk_place" ] || [ -L "$zk_place" ]; then
    [ "$(readlink -- "$zk_place")" = /dev/null ] || zk_run mv -T -- "$zk_place" "$move_folder/unit/$2" || return
  fi
  [ -L "$zk_place" ] || zk_run ln -s /dev/null "$zk_place" || return
  # Laid over a unit of the same name, it would change ours.
  [ ! -d "$zk_place.d" ] || zk_run mv -T -- "$zk_place.d" "$move_folder/unit/$2.d" || return
  zk_sync /etc/systemd/system $move_folder/unit
  zk_run systemctl daemon-reload
}

# do_fence MOVE UNIT ACCOUNT DATA LOG: Apache's process is dead, and its data out of the reach of a start: a
# plain file stands in the place of `version-2`, in which no server can begin anew. Killed and not told to
# end: what it has acknowledged is in its log, and it would say no more to its clients either way.
do_fence() {
  move_only "$1" fenced || return
  systemctl kill --signal=KILL -- "$2" 2>/dev/null
  zk_left=200
  while [ -n "$(move_servers)" ]; do
    [ $zk_left -gt 0 ] || {
      echo "a server of Apache ZooKeeper still runs: $(move_servers | tr '\n' ' ')"
      return 1
    }
    # One that systemd was just starting again.
    [ $((zk_left % 40)) != 0 ] || systemctl kill --signal=KILL -- "$2" 2>/dev/null
    zk_left=$((zk_left - 1))
    sleep 0.05
  done
  systemctl stop -- "$2" 2>/dev/null
  move_aside "$4" "$3" || return
  [ -z "$5" ] || [ "$5" = "$4" ] || move_aside "$5" "$3"
}

# move_aside DATA ACCOUNT
move_aside() {
  # shellcheck disable=SC2016 # another shell's parameters
  zk_as "$(stat -c %U -- "$1")" "$(stat -c %G -- "$1")" sh -c '
    cd -P -- "$1" || exit
    if [ -d version-2 ]; then
      { [ -d apache ] || mkdir -m 0700 apache; } && mv -T version-2 apache/version-2 || exit
    fi
    [ -e version-2 ] || : >version-2
    chmod 000 version-2
    sync -- . apache 2>/dev/null || sync' sh "$1"
}

# do_check BINARY PROPERTIES FROM ACCOUNT: what the files of a living member hold. With what they take on its
# disk. PROPERTIES are the text itself, since nothing may be written; whose pipe it is may open it by name.
do_check() {
  # shellcheck disable=SC2016 # another shell's parameters
  zk_said=$(printf '%s' "$2" | zk_as "$4" "$(id -gn -- "$4")" sh -c '
    cat | "$1" import /dev/stdin --check --from "$2"' sh "$1" "$3") || {
    printf '%s\n' "$zk_said"
    return 1
  }
  zk_size=$(du -sk -- "${3%%,*}/version-2" | cut -f 1)
  printf '%s\n' "$zk_said" | sed "0,/^{/s/^{/{ \"disk_kb\": ${zk_size:-0},/"
}

# do_standing BINARY DATA LOG: how far this member has come. As the owner of the files, with the group of the
# folder, which may be the coordinator's by now.
do_standing() {
  zk_from=$2/apache
  [ -z "$3" ] || zk_from=$zk_from,$3/apache
  zk_as "$(stat -c %U -- "$2/apache")" "$(stat -c %G -- "$2")" "$1" standing "$zk_from"
}

# move_take FOLDER LOG SNAPSHOTS LOGS: these files below `version-2`, and the epochs, as a tar in frames `piece`.
move_take() {
  # shellcheck disable=SC2016 # another shell's parameters
  zk_pieces zk_as "$(stat -c %U -- "$1/version-2")" "$(stat -c %G -- "${1%/*}")" sh -c '
    set -f
    names=$3
    for name in currentEpoch acceptedEpoch; do [ ! -f "$1/version-2/$name" ] || names="$names $name"; done
    # Java makes room for a log by a hole.
    set -- -C "$1/version-2" $names ${4:+-C "$2/version-2" $4}
    exec tar -cSf - "$@"' sh "$1" "$2" "$3" "$4"
}

# do_unpack FOLDER ACCOUNT BYTES: the next BYTES of payload, a member's files, become FOLDER.
do_unpack() {
  # shellcheck disable=SC2016 # another shell's parameters
  dd bs=65536 iflag=fullblock,count_bytes count="$3" status=none <&3 | zk_as "$2" "$2" sh -c '
    umask 077
    rm -rf -- "$1" && mkdir -p -- "$1/version-2" && tar -C "$1/version-2" --no-same-owner -xf -' sh "$1"
}

# do_import BINARY CONFIG FROM WORD EPOCH ACCOUNT DATA: what was brought here becomes the coordinator's data.
do_import() {
  move_only "$4" fenced || return
  zk_as "$6" "$6" "$1" import "$2" --from "$3" --ensemble-id "$4" --epoch "$5" --force || return
  # shellcheck disable=SC2016 # another shell's parameters
  zk_as "$6" "$6" sh -c 'rm -rf -- "$1" "$2"/coordinator.replaced-*' sh "$3" "$7"
}

# do_keep_file PATH: what another installation has there, for the way back.
do_keep_file() {
  zk_kept=$move_folder/unit/${1##*/}.file
  ! grep -q 'Written by zkprov' "$1" 2>/dev/null || return 0
  [ ! -e "$1" ] || [ -e "$zk_kept" ] || zk_run cp -a -- "$1" "$zk_kept"
}

# do_allow MOVE: from here on the coordinator may run on this host. Its unit comes only now: a host that boots
# before must start nothing.
do_allow() {
  move_only "$1" fenced coordinator || return
  [ "$zk_state" = coordinator ] || move_become coordinator "$1"
}

# do_open MOVE UNIT
do_open() {
  move_only "$1" coordinator || return
  zk_run systemctl daemon-reload || return
  systemctl reset-failed -- "$2" 2>/dev/null
  zk_run systemctl start --no-block -- "$2" || return
  zk_run systemctl enable --quiet --no-reload -- "$2"
}

# do_seal MOVE UNIT: the coordinator has ended in an orderly way and is started by nobody any more.
do_seal() {
  move_only "$1" coordinator sealed || return
  [ "$zk_state" = sealed ] || move_become sealed "$1" || return
  systemctl disable --quiet -- "$2" 2>/dev/null
  zk_run systemctl stop -- "$2"
}

# do_unseal MOVE UNIT: it goes on.
do_unseal() {
  move_only "$1" sealed coordinator || return
  move_become coordinator "$1" || return
  zk_run systemctl enable --quiet -- "$2" || return
  zk_run systemctl start --no-block -- "$2"
}

# do_export BINARY CONFIG MOVE FOLDER ACCOUNT: what it holds, as a directory of Apache ZooKeeper's.
do_export() {
  move_only "$3" sealed || return
  # shellcheck disable=SC2016 # another shell's parameters
  zk_as "$5" "$5" sh -c 'rm -rf -- "$1" && mkdir -m 0700 -- "$1"' sh "$4" &&
    zk_as "$5" "$5" "$1" export "$2" "$4"
}

# do_return MOVE UNIT OWN_UNIT ACCOUNT DATA LOG FILE...: Apache's data, unit and FILEs are where they were,
# and it is started. After a seal its data is what was exported, and what it had before the move stays aside.
do_return() {
  zk_word=$1 zk_unit=$2 zk_own_unit=$3 zk_account=$4 zk_data=$5 zk_log=$6
  shift 6
  # A host that was opened too early goes back as well: who asks for it knows that no majority was.
  move_only "$zk_word" zookeeper fenced sealed coordinator || return
  [ "$zk_state" != zookeeper ] || [ "$zk_move" = "$zk_word" ] || return 0
  [ "$zk_state" != coordinator ] || [ "$zk_move" = "$zk_word" ] || {
    echo "this host has moved with $zk_move, and not with $zk_word"
    return 1
  }
  if [ "$zk_state" != zookeeper ]; then
    if grep -q zkprov "/etc/systemd/system/$zk_own_unit" 2>/dev/null; then
      systemctl disable --quiet --now -- "$zk_own_unit" 2>/dev/null
      zk_run rm -f -- "/etc/systemd/system/$zk_own_unit" || return
    fi
    for zk_path in "$zk_data" "$zk_log"; do
      [ -n "$zk_path" ] || continue
      move_back "$zk_path" "$zk_word" "$zk_state" || return
      zk_run chown -h -- "$zk_account:" "$zk_path" || return
    done
    move_become zookeeper "$zk_word" || return
  fi
  for zk_path in "$@"; do
    zk_kept=$move_folder/unit/${zk_path##*/}.file
    if [ -e "$zk_kept" ]; then
      zk_run cp -a -- "$zk_kept" "$zk_path" || return
    elif grep -q 'Written by zkprov' "$zk_path" 2>/dev/null; then
      zk_run rm -f -- "$zk_path" || return
    fi
  done
  zk_place=/etc/systemd/system/$zk_unit
  [ "$(readlink -- "$zk_place")" != /dev/null ] || zk_run rm -f -- "$zk_place" || return
  if [ -e "$move_folder/unit/$zk_unit" ] || [ -L "$move_folder/unit/$zk_unit" ]; then
    zk_run cp -a -- "$move_folder/unit/$zk_unit" "$zk_place" || return
  fi
  if [ -d "$move_folder/unit/$zk_unit.d" ] && [ ! -d "$zk_place.d" ]; then
    zk_run cp -a -- "$move_folder/unit/$zk_unit.d" "$zk_place.d" || return
  fi
  zk_sync /etc/systemd/system
  zk_run systemctl daemon-reload || return
  case $(cat $move_folder/unit/enabled 2>/dev/null) in enabled) systemctl enable --quiet -- "$zk_unit" 2>/dev/null ;; esac
  systemctl reset-failed -- "$zk_unit" 2>/dev/null
  zk_run systemctl start --no-block -- "$zk_unit"
}

# move_back DATA MOVE STATE: as the account whose the folder is now; the coordinator's data stays beside,
# under a name from which nothing is started.
move_back() {
  # Apache's account must be able to take its files; whose they are now matters to nobody else.
  if [ "$3" = sealed ] && [ -d "$1/apache.back/version-2" ]; then
    zk_roots "$1" || return
    zk_run chown -Rh -- "$zk_account:" "$1/apache.back" || return
  fi
  if [ -d "$1/apache.copy" ]; then
    zk_as "$(stat -c %U -- "$1/apache.copy")" "$(stat -c %G -- "$1/apache.copy")" rm -rf -- "$1/apache.copy" 2>/dev/null
  fi
  zk_run chown -h -- "$zk_account:" "$1" || return
  [ ! -f "$1/myid" ] || zk_run chown -h -- "$zk_account:" "$1/myid" || return
  # shellcheck disable=SC2016 # another shell's parameters
  zk_as "$zk_account" "$(id -gn -- "$zk_account")" sh -c '
    cd -P -- "$1" || exit
    for name in coordinator coordinator.replaced-*; do
      [ ! -d "$name" ] || mv -T -- "$name" "moved-$2.$name" || exit
    done
    [ ! -f version-2 ] || rm -f version-2 || exit
    if [ "$3" = sealed ] || [ -d "apache/before-$2" ]; then
      if [ -d apache/version-2 ]; then mv -T apache/version-2 "apache/before-$2" || exit; fi
      if [ -d apache.back/version-2 ]; then mv -T apache.back/version-2 version-2 && rmdir apache.back || exit; fi
    elif [ -d apache/version-2 ]; then
      mv -T apache/version-2 version-2 || exit
      rmdir apache 2>/dev/null
    fi
    sync -- . 2>/dev/null || sync' sh "$1" "$2" "$3"
}

# do_finish ACCOUNT DATA LOG: the way back is given up: what is kept for it goes.
do_finish() {
  move_state
  [ "$zk_state" = coordinator ] || { echo "this host is in state $zk_state: nothing is finished"; return 1; }
  for zk_path in "$2" "$3"; do
    [ -n "$zk_path" ] || continue
    # shellcheck disable=SC2016 # another shell's parameters
    for zk_folder in "$zk_path/apache" "$zk_path"/moved-*; do
      [ -d "$zk_folder" ] || continue
      [ ! -L "$zk_folder" ] || continue
      # What lies there may be the account's of before; its names could lead nowhere but into itself.
      zk_as "$1" "$1" rm -rf -- "$zk_folder" 2>/dev/null || zk_run rm -rf --one-file-system -- "$zk_folder" || return
    done
  done
  zk_run rm -rf -- $move_folder/unit
}
