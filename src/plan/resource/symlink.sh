# shellcheck shell=sh disable=SC2154 # zk_by is what `zk_way` sets

# do_symlink PATH TARGET ASIDE: ASIDE is where something else than a link is kept, or empty. Made by the
# account in whose folder it lies, where that is not root.
do_symlink() {
  zk_way "$1" || return
  if [ "$zk_by" != root ]; then
    # shellcheck disable=SC2016 # another shell's parameters
    zk_run zk_as "$zk_by" "$(id -gn -- "$zk_by")" sh -c '
      umask 022
      mkdir -p -- "${1%/*}" && cd -P -- "${1%/*}/" || exit
      name=${1##*/}
      if [ -n "$3" ] && [ -e "$name" ] && [ ! -L "$name" ]; then
        keep=${3##*/}
        if [ -e "$keep" ] || [ -L "$keep" ]; then
          echo "$1 is in the way, and $3, where it would be kept, exists already"
          exit 1
        fi
        mv -T -- "$name" "$keep" || exit
      fi
      rm -f -- ".$name.zkprov.link"
      ln -s -- "$2" ".$name.zkprov.link" && mv -fT -- ".$name.zkprov.link" "$name"' sh "$@"
    return
  fi
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
