# shellcheck shell=sh disable=SC2154 # zk_by is what `zk_way` sets

# do_file PATH OWNER GROUP MODE SIZE CONTENT [ASIDE]: made by root where only root has a say, else by the
# account in whose folder it lies. ASIDE is where another installation's file is kept.
do_file() {
  zk_way "$1" || return
  if [ "$zk_by" = root ]; then
    [ -z "${7:-}" ] || zk_aside "$1" "$7" || return
    zk_put "$@"
    return
  fi
  if [ "$zk_by" != "$2" ]; then
    echo "$1 is to be $2's, and lies in a folder of $zk_by, who could lead others elsewhere"
    return 1
  fi
  # shellcheck disable=SC2016 # another shell's parameters
  printf '%s' "$6" | zk_as "$2" "$3" sh -c '
    umask 077
    cd -P -- "${1%/*}/" || exit
    name=${1##*/}
    for tmp in ".$name.zkprov."*; do [ ! -f "$tmp" ] || rm -f -- "$tmp"; done
    tmp=$(mktemp -- "./.$name.zkprov.XXXXXX") || exit
    trap "rm -f -- \"$tmp\"" EXIT
    cat >"$tmp"
    if [ "$(stat -c %s -- "$tmp")" != "$3" ]; then
      echo "could not write $3 bytes beside $1: is the disk full?"
      exit 1
    fi
    chmod -- "$2" "$tmp" && { sync -- "$tmp" 2>/dev/null || sync; } && mv -fT -- "$tmp" "$name" || exit
    trap - EXIT
    sync -- . 2>/dev/null || sync' sh "$1" "$4" "$5"
}

# undo_file PATH
undo_file() {
  zk_run rm -f -- "$1"
}
