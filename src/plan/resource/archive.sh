# shellcheck shell=sh
# A release: unpacked aside as the user who will own it, renamed when whole, stamped with its digest.

# What a release may come to when it is unpacked: Kafka's are some 120 MB, and their jars do not compress.
zk_archive_bytes_max=4294967296
# What a host downloads at most, in blocks of 512 bytes: 2 GiB.
zk_tarball_blocks_max=4194304

# archive_as USER COMMAND...: as that user, so that ownership needs no second pass over the files and
# an archive's tricks can harm nobody else.
archive_as() {
  zk_archivist=$1
  shift
  zk_as "$zk_archivist" "$(id -gn -- "$zk_archivist")" "$@"
}

# archive_finish ROOT NAME USER DIGEST ASIDE: what was unpacked in $zk_in takes its place. From here on only
# root can change what lies in $zk_in, so what is looked at is what is moved.
archive_finish() {
  zk_run chown -h -- root:root "$zk_in" && zk_run chmod -- 0711 "$zk_in" || return
  zk_found=$(cd -- "$zk_in" && for zk_entry in * .[!.]*; do
    [ ! -e "$zk_entry" ] && [ ! -L "$zk_entry" ] || printf '%s\n' "$zk_entry"
  done)
  if [ "$zk_found" != "$2" ] || [ -L "$zk_in/$2" ] || [ ! -d "$zk_in/$2" ]; then
    echo "the archive holds $zk_found, and not one folder $2"
    return 1
  fi
  zk_found=$(find "$zk_in" \( -type l \( -lname '/*' -o -lname '..' -o -lname '../*' -o -lname '*/..' -o -lname '*/../*' \) \
    -printf '%P -> %l\n' \) -o \( ! -type l -perm /6000 -printf '%P (mode %m)\n' \) | head -n 3)
  if [ -n "$zk_found" ]; then
    echo "the archive holds links that may lead out of its folder, or programs with rights of their own: $zk_found"
    return 1
  fi
  # Whole means whole on disk, before the stamp says so. The folder is the user's: so is the stamp.
  sync -f -- "$zk_in/$2" 2>/dev/null || sync
  # shellcheck disable=SC2016 # another shell's parameters
  zk_run archive_as "$3" sh -c 'rm -f -- "$1" && printf "%s\n" "$2" >"$1" && { sync -- "$1" 2>/dev/null || sync; }' \
    sh "$zk_in/$2/.zkprov" "$4" || return
  if [ -n "$5" ] && { [ -e "$1/$2" ] || [ -L "$1/$2" ]; }; then
    zk_aside "$1/$2" "$5" || return
  fi
  zk_run mv -T -- "$zk_in/$2" "$1/$2" || return
  zk_sync "$1"
}

# archive_begin ROOT NAME USER: $zk_tmp, root's own, and in it $zk_in, empty, the user's; leftovers of dead
# runs go.
archive_begin() {
  zk_roots "$1/$2" || return
  [ -d "$1" ] || zk_run mkdir -p -- "$1" || return
  rm -rf --one-file-system -- "$1/.$2.zkprov."*
  zk_tmp=$(mktemp -d -- "$1/.$2.zkprov.XXXXXX") || return
  trap 'rm -rf --one-file-system -- "$zk_tmp"' EXIT
  zk_in=$zk_tmp/in
  zk_run chmod -- 0711 "$zk_tmp" && zk_run mkdir -- "$zk_in" && zk_run chown -- "$3:" "$zk_in"
}

# archive_room ROOT: says so when there is hardly any room left: tar's own words drown it.
archive_room() {
  zk_free=$(df -Pk -- "$1" | awk 'NR == 2 { print $4 }')
  [ "${zk_free:-0}" -gt 4096 ] || echo "$1 has only $zk_free kB free"
}

# archive_flush: what has arrived is written to disk while the rest is on its way, so that little is
# left to wait for at the end. Ends by itself with the step, or with the script.
archive_flush() {
  (
    exec 3<&- 9>&- >/dev/null 2>&1
    while sleep 0.4 && kill -0 "$$" && [ -d "$zk_tmp" ]; do sync -f -- "$zk_tmp" || exit; done
  ) &
  zk_flush=$!
}

# archive_unpack USER: the archive on stdin goes into $zk_in.
archive_unpack() {
  # gzip reads what arrives: with `tar --gzip` one more tar would hand it over. A stream that is cut at its
  # limit is an archive without an end.
  # shellcheck disable=SC2016 # another shell's parameters
  archive_as "$1" sh -c '{ gzip -dc || : >"$1/.broken"; } | head -c "$2"' sh "$zk_in" "$zk_archive_bytes_max" |
    archive_as "$1" tar --extract --no-same-permissions --directory "$zk_in" && [ ! -e "$zk_in/.broken" ]
}

# do_archive ROOT NAME USER DIGEST ASIDE SIZE: from the next SIZE bytes of payload.
do_archive() {
  archive_begin "$1" "$2" "$3" || return
  archive_flush
  if ! dd bs=65536 iflag=fullblock,count_bytes count="$6" status=none <&3 | archive_unpack "$3"; then
    archive_room "$1"
    echo "unpacking the archive in $1 failed"
    return 1
  fi
  kill "$zk_flush"
  archive_finish "$1" "$2" "$3" "$4" "$5"
}

# archive_download COMMAND...: a source that sends without end fills no disk.
archive_download() (
  # shellcheck disable=SC3045 # every shell of these hosts has it
  ulimit -f "$zk_tarball_blocks_max" 2>/dev/null
  "$@"
)

# do_archive_fetched ROOT NAME USER DIGEST ASIDE URL...: the host downloads and hashes for itself.
do_archive_fetched() {
  archive_begin "$1" "$2" "$3" || return
  zk_root=$1 zk_base=$2 zk_owner=$3 zk_want=$4 zk_keep=$5
  shift 5
  zk_tarball=$zk_tmp/.tarball
  for zk_url in "$@"; do
    if command -v curl >/dev/null 2>&1; then
      archive_download curl --fail --silent --show-error --location --connect-timeout 10 --output "$zk_tarball" -- \
        "$zk_url" || continue
    else
      archive_download wget --quiet --timeout=10 --tries=1 -O "$zk_tarball" -- "$zk_url" || continue
    fi
    zk_sum=$(sha512sum -- "$zk_tarball") || return
    if [ "${zk_sum%% *}" != "$zk_want" ]; then
      echo "$zk_url has the digest ${zk_sum%% *} instead of $zk_want"
      rm -f -- "$zk_tarball"
      continue
    fi
    archive_unpack "$zk_owner" <"$zk_tarball" || return
    rm -f -- "$zk_tarball"
    archive_finish "$zk_root" "$zk_base" "$zk_owner" "$zk_want" "$zk_keep"
    return
  done
  echo "no source gave the release: $*"
  return 1
}

# undo_archives ROOT: the release, and those from before upgrades; only what carries the stamp.
undo_archives() {
  for zk_release in "$1"/kafka_*; do
    if [ -f "$zk_release/.zkprov" ] && [ ! -L "$zk_release" ]; then
      printf '%s ' "$zk_release"
      zk_run rm -rf --one-file-system -- "$zk_release" || return
    fi
  done
}
