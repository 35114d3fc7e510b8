# shellcheck shell=sh
# Kernel settings: now, and at the next boot.

# read_sysctl KEY...: values, and whether this host may write them.
read_sysctl() {
  for zk_key in "$@"; do
    zk_file=/proc/sys/$(printf '%s' "$zk_key" | tr . /)
    if [ -w "$zk_file" ] && [ -r "$zk_file" ]; then
      read -r zk_value <"$zk_file"
      zk_frame fact "sysctl $zk_key" "$zk_value"
    fi
  done
}

# do_sysctl KEY VALUE...
do_sysctl() {
  while [ $# -gt 0 ]; do
    zk_file=/proc/sys/$(printf '%s' "$1" | tr . /)
    if ! printf '%s\n' "$2" >"$zk_file"; then
      echo "the kernel does not take $1 = $2"
      return 1
    fi
    shift 2
  done
}
