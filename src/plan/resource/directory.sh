# shellcheck shell=sh disable=SC2154 # zk_by is what `zk_way` sets

# do_directory PATH OWNER GROUP MODE: made by root where only root has a say on the way there, else by the
# account in whose folder it lies.
do_directory() {
  zk_way "$1" || return
  if [ "$zk_by" = root ]; then
    zk_parents "$1" || return
    [ -d "$1" ] || zk_run mkdir -- "$1" || return
    if [ -L "$1" ]; then
      echo "$1 is a symlink, and should be a directory"
      return 1
    fi
    zk_run chown -h -- "$2:$3" "$1" || return
    zk_run chmod -- "$4" "$1" || return
    zk_label "$1"
    return
  fi
  if [ "$zk_by" != "$2" ]; then
    echo "$1 is to be $2's, and lies in a folder of $zk_by, who could lead root elsewhere"
    return 1
  fi
  # shellcheck disable=SC2016 # another shell's parameters
  zk_as "$2" "$3" sh -c '{ [ -d "$1" ] || mkdir -p -- "$1"; } && chmod -- "$2" "$1"' sh "$1" "$4" && return
  echo "done as $2, in whose folder it lies, and not as root"
  return 1
}

# undo_directory PATH: only when nothing is left in it.
undo_directory() {
  [ ! -d "$1" ] || rmdir -- "$1" 2>/dev/null || echo "kept, since it is not empty"
}

# purge_directory PATH: with everything in it; of zkprov's own.
purge_directory() {
  zk_roots "$1" || return
  zk_run rm -rf --one-file-system -- "$1"
}

# purge_data PATH OWNER: a service's data, where it is known by its owner and by what lies in it.
purge_data() {
  [ -e "$1" ] || [ -L "$1" ] || return 0
  if [ -L "$1" ] || [ ! -d "$1" ] || [ "$(stat -c %U -- "$1")" != "$2" ]; then
    echo "$1 is no directory of $2's: kept"
    return 1
  fi
  zk_known='' zk_other=''
  for zk_entry in "$1"/* "$1"/.[!.]*; do
    [ -e "$zk_entry" ] || [ -L "$zk_entry" ] || continue
    case ${zk_entry##*/} in
      myid | coordinator | coordinator.* | version-2 | initialize | meta.properties) zk_known=yes ;;
      lost+found) ;;
      *) zk_other=${zk_entry##*/} ;;
    esac
  done
  if [ -z "$zk_known" ] && [ -n "$zk_other" ]; then
    echo "$1 holds $zk_other and nothing that marks it as a coordinator's or a broker's: kept"
    return 1
  fi
  zk_way "$1" || return
  if [ "$zk_by" = root ]; then
    zk_run rm -rf --one-file-system -- "$1"
  elif [ "$zk_by" = "$2" ]; then
    zk_run zk_as "$2" "$(id -gn -- "$2")" rm -rf --one-file-system -- "$1"
  else
    echo "$1 lies in a folder of $zk_by, who could lead root elsewhere: kept"
    return 1
  fi
}
