# shellcheck shell=sh
# A release: unpacked aside as the user who will own it, renamed when whole, stamped with its digest.

# archive_as USER COMMAND...: as that user, so that ownership needs no second pass over the files and
# an archive's tricks can harm nobody else.
archive_as() {
  zk_user=$1
  shift
  if command -v setpriv >/dev/null 2>&1; then
    setpriv --reuid="$zk_user" --regid="$(id -g "$zk_user")" --clear-groups -- "$@"
  else
    runuser -u "$zk_user" -- "$@"
  fi
}

# archive_finish ROOT NAME DIGEST ASIDE: what was unpacked in $zk_tmp takes its place.
archive_finish() {
  zk_found=$(cd -- "$zk_tmp" && for zk_entry in * .[!.]*; do
    [ ! -e "$zk_entry" ] && [ ! -L "$zk_entry" ] || printf '%s\n' "$zk_entry"
  done)
  if [ "$zk_found" != "$2" ] || [ -L "$zk_tmp/$2" ] || [ ! -d "$zk_tmp/$2" ]; then
    echo "the archive holds $zk_found, and not one folder $2"
    return 1
  fi
  zk_found=$(find "$zk_tmp" -type l \( -lname '/*' -o -lname '..' -o -lname '../*' -o -lname '*/..' -o -lname '*/../*' \) \
    -printf '%P -> %l\n' | head -n 3)
  if [ -n "$zk_found" ]; then
    echo "the archive holds links that may lead out of its folder: $zk_found"
    return 1
  fi
  # Whole means whole on disk, before the stamp says so.
  sync -f -- "$zk_tmp/$2" 2>/dev/null || sync
  printf '%s\n' "$3" >"$zk_tmp/$2/.zkprov" || return
  zk_sync "$zk_tmp/$2/.zkprov"
  if [ -n "$4" ] && { [ -e "$1/$2" ] || [ -L "$1/$2" ]; }; then
    zk_aside "$1/$2" "$4" || return
  fi
  zk_run mv -T -- "$zk_tmp/$2" "$1/$2" || return
  zk_sync "$1"
}

# archive_begin ROOT NAME USER: $zk_tmp, empty, the user's own; leftovers of dead runs go.
archive_begin() {
  [ -d "$1" ] || zk_run mkdir -p -- "$1" || return
  rm -rf --one-file-system -- "$1/.$2.zkprov."*
  zk_tmp=$(mktemp -d -- "$1/.$2.zkprov.XXXXXX") || return
  trap 'rm -rf --one-file-system -- "$zk_tmp"' EXIT
  zk_run chown -- "$3:" "$zk_tmp"
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

# archive_unpack USER: the archive on stdin goes into $zk_tmp.
archive_unpack() {
  # gzip reads what arrives: with `tar --gzip` one more tar would hand it over.
  # shellcheck disable=SC2016 # another shell's parameter
  archive_as "$1" sh -c 'gzip -dc || : >"$1/.broken"' sh "$zk_tmp" |
    archive_as "$1" tar --extract --no-same-permissions --directory "$zk_tmp" && [ ! -e "$zk_tmp/.broken" ]
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
  archive_finish "$1" "$2" "$4" "$5"
}

# do_archive_fetched ROOT NAME USER DIGEST ASIDE URL...: the host downloads and hashes for itself.
do_archive_fetched() {
  archive_begin "$1" "$2" "$3" || return
  zk_root=$1 zk_base=$2 zk_user=$3 zk_want=$4 zk_keep=$5
  shift 5
  zk_tarball=$zk_tmp/.tarball
  for zk_url in "$@"; do
    if command -v curl >/dev/null 2>&1; then
      curl --fail --silent --show-error --location --connect-timeout 10 --output "$zk_tarball" -- "$zk_url" || continue
    else
      wget --quiet --timeout=10 --tries=1 -O "$zk_tarball" -- "$zk_url" || continue
    fi
    zk_sum=$(sha512sum -- "$zk_tarball") || return
    if [ "${zk_sum%% *}" != "$zk_want" ]; then
      echo "$zk_url has the digest ${zk_sum%% *} instead of $zk_want"
      rm -f -- "$zk_tarball"
      continue
    fi
    archive_unpack "$zk_user" <"$zk_tarball" || return
    rm -f -- "$zk_tarball"
    archive_finish "$zk_root" "$zk_base" "$zk_want" "$zk_keep"
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
