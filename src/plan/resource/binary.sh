# shellcheck shell=sh disable=SC2154 # zk_tmp is what `zk_beside` sets, zk_bad the prelude

# binary_take NAME PATH SIZE: the next SIZE bytes of payload, to a place beside PATH. The step NAME begins
# with it and is concluded by do_binary: what is sent behind need not wait for digests and disks.
binary_take() {
  [ -z "$zk_bad" ] || return 0
  zk_frame begin "$1" ''
  zk_said=$(binary_receive "$2" "$3" 2>&1) || zk_conclude "$1" binary_missed
}

# binary_taken PATH: where it is then.
binary_taken() {
  printf '%s/.%s.zkprov.taken' "${1%/*}" "${1##*/}"
}

binary_receive() {
  zk_parents "$1" || return
  zk_beside "$1" || return
  zk_run dd bs=65536 iflag=fullblock,count_bytes count="$2" of="$zk_tmp" status=none <&3 || return
  zk_run mv -fT -- "$zk_tmp" "$(binary_taken "$1")"
}

binary_missed() {
  printf '%s\n' "$zk_said"
  return 1
}

# binary_drop PATH: what was taken and got no name, since the run was stopped before, goes.
binary_drop() {
  zk_taken=$(binary_taken "$1")
  [ ! -f "$zk_taken" ] || rm -f -- "$zk_taken"
}

# do_binary PATH SHA256 SIZE: what was taken gets its name, if it is what was meant.
do_binary() {
  zk_tmp=$(binary_taken "$1")
  trap 'rm -f -- "$zk_tmp"' EXIT
  zk_sum=$(sha256sum -- "$zk_tmp") || return
  if [ "${zk_sum%% *}" != "$2" ]; then
    echo "$(stat -c %s -- "$zk_tmp") of $3 bytes arrived, with the digest ${zk_sum%% *} instead of $2"
    return 1
  fi
  zk_run chown -- root:root "$zk_tmp" || return
  zk_run chmod -- 0755 "$zk_tmp" || return
  zk_sync "$zk_tmp"
  zk_run mv -fT -- "$zk_tmp" "$1" || return
  trap - EXIT
  zk_label "$1"
  # Inode, size and times of the very file that was hashed: `probe_digests` goes by them.
  printf '%s\n%s\n' "$(stat -L -c '%i %s %.Y %.Z' -- "$1")" "$2" >"${1%/*}/.digest"
}

# do_prune PATH...
do_prune() {
  zk_run rm -f -- "$@"
}
