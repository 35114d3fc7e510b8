# shellcheck shell=sh

# do_directory PATH OWNER GROUP MODE
do_directory() {
  zk_parents "$1" || return
  [ -d "$1" ] || zk_run mkdir -- "$1" || return
  zk_run chown -h -- "$2:$3" "$1" || return
  zk_run chmod -- "$4" "$1" || return
  zk_label "$1"
}

# undo_directory PATH: only when nothing is left in it.
undo_directory() {
  [ ! -d "$1" ] || rmdir -- "$1" 2>/dev/null || echo "kept, since it is not empty"
}

# purge_directory PATH: with everything in it.
purge_directory() {
  zk_run rm -rf --one-file-system -- "$1"
}
