# shellcheck shell=sh

# do_symlink PATH TARGET ASIDE: ASIDE is where something else than a link is kept, or empty.
do_symlink() {
  zk_parents "$1" || return
  if [ -n "$3" ] && [ -e "$1" ] && [ ! -L "$1" ]; then
    zk_aside "$1" "$3" || return
  fi
  zk_tmp=$1.zkprov.$$
  trap 'rm -f -- "$zk_tmp"' EXIT
  rm -f -- "$zk_tmp"
  zk_run ln -s -- "$2" "$zk_tmp" || return
  zk_run mv -fT -- "$zk_tmp" "$1" || return
  trap - EXIT
  zk_label "$1"
  zk_sync "${1%/*}"
}

# undo_symlink PATH
undo_symlink() {
  [ ! -L "$1" ] || zk_run rm -- "$1"
}
