# shellcheck shell=sh disable=SC2154 # zk_tmp is what `zk_beside` sets
# Lines of /etc/fstab out of action, every other byte as it was.

# do_fstab SHA256 PREFIX LINE...: puts PREFIX before the lines of these numbers. SHA256 is of the file
# the numbers were made from.
do_fstab() {
  zk_file=$(readlink -f -- /etc/fstab) || return
  zk_sum=$(sha256sum -- "$zk_file") || return
  if [ "${zk_sum%% *}" != "$1" ]; then
    echo "$zk_file has changed since it was read; run again"
    return 1
  fi
  zk_edit=
  zk_prefix=$2
  shift 2
  for zk_line in "$@"; do zk_edit="$zk_edit${zk_line}s/^/$zk_prefix/;"; done
  zk_beside "$zk_file" || return
  zk_run cp -p -- "$zk_file" "$zk_tmp" || return
  sed -e "$zk_edit" -- "$zk_file" >"$zk_tmp"
  zk_before=$(stat -c %s -- "$zk_file")
  zk_after=$(stat -c %s -- "$zk_tmp")
  if [ "$zk_after" != $((zk_before + $# * ${#zk_prefix})) ]; then
    echo "the edited file has $zk_after bytes, which is not what it should have: is the disk full?"
    return 1
  fi
  # The first backup is the operator's file; later ones would only be our own work.
  [ -e "$zk_file.before-zkprov" ] || zk_run cp -p -- "$zk_file" "$zk_file.before-zkprov" || return
  zk_sync "$zk_tmp"
  zk_run mv -fT -- "$zk_tmp" "$zk_file" || return
  trap - EXIT
  zk_label "$zk_file"
}

# undo_fstab PREFIX: the lines back into action; the copy from before goes unless something else has changed since.
undo_fstab() {
  zk_file=$(readlink -f -- /etc/fstab) || return
  grep -q "^$1" -- "$zk_file" || return 0
  zk_beside "$zk_file" || return
  zk_run cp -p -- "$zk_file" "$zk_tmp" || return
  sed -e "s/^$1//" -- "$zk_file" >"$zk_tmp" || return
  zk_sync "$zk_tmp"
  zk_run mv -fT -- "$zk_tmp" "$zk_file" || return
  trap - EXIT
  zk_label "$zk_file"
  ! cmp -s -- "$zk_file" "$zk_file.before-zkprov" || rm -f -- "$zk_file.before-zkprov"
}
