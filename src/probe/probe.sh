# shellcheck shell=sh
# What a probe reads. Nothing here changes anything; each answer is one frame. `fact` is what plans
# are made of, `live` is what changes by itself from one second to the next.

# probe_host: what kind of machine this is. Every process a probe starts is paid for on every host of
# every run, so what the shell can read by itself it reads by itself.
probe_host() {
  zk_uid=
  while read -r zk_key zk_value _; do
    [ "$zk_key" != Uid: ] || zk_uid=$zk_value
  done </proc/self/status 2>/dev/null
  zk_frame fact uid "${zk_uid:-$(id -u)}"
  zk_frame_of fact kernel uname -srm
  zk_systemd=no
  [ ! -d /run/systemd/system ] || zk_systemd=yes
  zk_frame fact systemd "$zk_systemd"
  zk_container=
  [ ! -r /run/systemd/container ] || read -r zk_container </run/systemd/container
  zk_frame fact container "$zk_container"
  zk_frame_of live clock date +%s.%N
  zk_missing=
  for zk_tool in awk chown dd getent gzip mktemp mv sed sha256sum stat tar timeout useradd; do
    command -v "$zk_tool" >/dev/null 2>&1 || zk_missing="$zk_missing $zk_tool"
  done
  zk_frame fact missing "$zk_missing"
  zk_id='' zk_boot=''
  [ ! -r /etc/machine-id ] || read -r zk_id </etc/machine-id
  [ ! -r /proc/sys/kernel/random/boot_id ] || read -r zk_boot </proc/sys/kernel/random/boot_id
  zk_frame fact machine "$zk_id
$zk_boot"
  zk_list=''
  while read -r _ zk_path _; do
    zk_list="$zk_list$zk_path
"
  done 2>/dev/null </proc/self/mounts
  zk_frame fact mounts "$zk_list"
}

# probe_names NAME...: what names of members mean on this host; a server of names that does not answer is
# not waited for.
probe_names() {
  zk_list=''
  for zk_name in "$@"; do
    zk_list="$zk_list$zk_name $(timeout 5 getent ahosts "$zk_name" 2>/dev/null | while read -r zk_value zk_key _; do
      [ "$zk_key" != STREAM ] || printf '%s ' "$zk_value"
    done)
"
  done
  zk_frame fact names "$zk_list"
}

# probe_foreign FACT ACCOUNT FOLDER...: the first file of somebody else's in each data folder, or in what a server
# keeps there. Without the account everything would be somebody else's.
probe_foreign() {
  zk_fact=$1 zk_account=$2
  shift 2
  for zk_path in "$@"; do
    shift
    [ ! -d "$zk_path" ] || set -- "$@" "$zk_path"
    for zk_name in coordinator version-2; do
      [ ! -d "$zk_path/$zk_name" ] || set -- "$@" "$zk_path/$zk_name"
    done
  done
  [ $# = 0 ] || zk_frame_of fact "$zk_fact" find "$@" -mindepth 1 -maxdepth 1 ! -user "$zk_account" \
    ! -name apache ! -name "moved-*" ! \( -name version-2 -type f \) ! -name myid ! -name initialize ! -name lost+found -printf '%u %p\n' -quit
}

# probe_former CONFIG: what lies where the configuration that is there says that data is.
probe_former() {
  [ -f "$1" ] && [ -r "$1" ] || return 0
  while IFS='= ' read -r zk_key zk_value; do
    case $zk_key in dataDir | dataLogDir) probe_listing "${zk_value%/}" ;; esac
  done <"$1"
}

# probe_writable PATH...: those of the nearest folders that are there to which root itself cannot write.
probe_writable() {
  zk_list=
  for zk_path in "$@"; do
    while [ ! -e "$zk_path" ] && [ -n "$zk_path" ]; do zk_path=${zk_path%/*}; done
    # A file in the way is another trouble, told elsewhere.
    [ ! -d "${zk_path:-/}" ] || [ -w "${zk_path:-/}" ] || zk_list="$zk_list${zk_path:-/}
"
  done
  zk_frame fact readonly "$zk_list"
}

# probe_addresses: by which addresses the host can be reached.
probe_addresses() {
  zk_frame_of live addresses ip -o addr show scope global
}

# probe_paths PATH...: what is there: type, owner, group, mode, size, time of change, name, target;
# and of every coordinator that was ever put here.
probe_paths() {
  zk_frame_of fact paths stat -c '%F|%U|%G|%a|%s|%Y|%N' -- "$@" /usr/local/lib/zkprov/coordinator-*
}

# probe_contents PATH...: small files, byte for byte: how many bytes of which, an empty line, then all
# of them on end.
probe_contents() {
  for zk_path in "$@"; do
    shift
    [ ! -f "$zk_path" ] || set -- "$@" "$zk_path"
  done
  [ $# = 0 ] || zk_frame_of fact contents probe_concatenated "$@"
}

probe_concatenated() {
  stat -L -c '%s %n' -- "$@"
  echo
  head -q -c 524288 -- "$@"
}

# probe_listing PATH: the first names in a folder.
probe_listing() {
  [ -d "$1" ] || return 0
  zk_list="" zk_count=0
  for zk_path in "$1"/* "$1"/.[!.]*; do
    [ -e "$zk_path" ] || continue
    zk_list="$zk_list${zk_path##*/}
"
    zk_count=$((zk_count + 1))
    [ "$zk_count" -lt 50 ] || break
  done
  zk_frame fact "listing $1" "$zk_list"
}

# probe_members BINARY SOCKET CONFIG: the list of members that the ensemble keeps itself, where it may.
probe_members() {
  [ "${zk_main:-0}" != 0 ] && [ -x "$1" ] && [ -S "$2" ] || return 0
  grep -qs '^[[:blank:]]*reconfigEnabled[[:blank:]]*[=:[:blank:]][[:blank:]]*true' "$3" || return 0
  zk_said=$(zk_tool timeout 10 "$1" admin --socket "$2" members 2>/dev/null) || return 0
  zk_frame live members "$zk_said"
}

# probe_status BINARY SERVER: what the server says about itself, when one runs.
probe_status() {
  [ "${zk_main:-0}" != 0 ] && [ -x "$1" ] || return 0
  zk_said=$(zk_tool "$1" status --timeout-ms 5000 --server "$2" --json 2>&1)
  # What is on disk may be ahead of the process, which then is asked as it was started.
  case $zk_said in
    *TLS*)
      zk_plain=$("$1" status --timeout-ms 5000 --server "$2" --json 2>&1)
      case $zk_plain in *'"mode":"'*) zk_said=$zk_plain ;; esac
      ;;
  esac
  zk_frame live status "$zk_said"
}

# probe_java HOME: the java that Kafka's programs would run on. Its version stands beside it in a file;
# only where there is none it is started to say so.
probe_java() {
  zk_java=$(command -v "${1:+$1/bin/}java") && zk_java=$(readlink -f -- "$zk_java") || zk_java=
  zk_frame fact java "$zk_java"
  [ -n "$zk_java" ] || return 0
  zk_version=$(sed -n 's/^JAVA_VERSION="\(.*\)"$/\1/p' "${zk_java%/bin/java}/release" 2>/dev/null)
  [ -n "$zk_version" ] ||
    zk_version=$(timeout 20 "$zk_java" -version 2>&1 | sed -n 's/^.* version "\([^"]*\)".*$/\1/p' | head -n 1)
  zk_frame fact java_version "$zk_version"
}

# probe_memory: kilobytes the host may use: the machine's, or less where a control group says so.
probe_memory() {
  zk_memory=$(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo)
  if read -r zk_limit 2>/dev/null </sys/fs/cgroup/memory.max; then
    case $zk_limit in
      '' | *[!0-9]*) ;;
      *) [ $((zk_limit / 1024)) -ge "$zk_memory" ] || zk_memory=$((zk_limit / 1024)) ;;
    esac
  fi
  zk_frame fact memory "$zk_memory"
}

# probe_brokers BINARY SERVERS: brokers and partitions, as Kafka keeps them with the coordinators.
probe_brokers() {
  zk_frame live brokers "$(zk_tool timeout 12 "$1" brokers --server "$2" --timeout-ms 5000 2>&1)"
}

# probe_digests PATH...: SHA-256 of each. Hashing the server's binary would be half of what a probe
# costs a host: where the file is still the very one that was hashed when it came, its stamp tells.
probe_digests() {
  zk_frame_of fact digests probe_each_digest "$@"
}

probe_each_digest() {
  for zk_path in "$@"; do
    zk_seen=$(stat -L -c '%i %s %.Y %.Z' -- "$zk_path") || continue
    zk_stamp="" zk_sum=""
    [ ! -r "${zk_path%/*}/.digest" ] ||
      { read -r zk_stamp && read -r zk_sum; } <"${zk_path%/*}/.digest"
    if [ "$zk_seen" = "$zk_stamp" ] && [ "${#zk_sum}" = 64 ]; then
      printf '%s  %s\n' "$zk_sum" "$zk_path"
    else
      sha256sum -- "$zk_path"
    fi
  done
}

# probe_fetcher: what downloads on this host, if anything.
probe_fetcher() {
  zk_frame fact fetcher "$(command -v curl || command -v wget)"
}

# probe_space PATH...: free kilobytes at the nearest folders that are there: the paths, an empty line,
# and what df says of each.
probe_space() {
  zk_asked=
  for zk_path in "$@"; do
    shift
    zk_asked="$zk_asked$zk_path
"
    while [ ! -e "$zk_path" ] && [ -n "$zk_path" ]; do zk_path=${zk_path%/*}; done
    set -- "$@" "${zk_path:-/}"
  done
  zk_frame_of live space probe_free "$@"
}

probe_free() {
  printf '%s\n' "$zk_asked"
  df -Pk -- "$@"
}

# probe_ports PORT...: who listens. Of no interest where all services that were asked for run.
probe_ports() {
  case ${zk_units:-MainPID=0} in *MainPID=0*) ;; *) return ;; esac
  zk_filter=
  for zk_port in "$@"; do zk_filter="${zk_filter:+$zk_filter or }sport = :$zk_port"; done
  zk_frame_of live ports ss -H -ltnp "$zk_filter"
}
