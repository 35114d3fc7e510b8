# shellcheck shell=sh
# Kernel settings: now, and at the next boot.

# sysctl_file KEY: its place under /proc, in $zk_file.
sysctl_file() {
  zk_file=/proc/sys zk_rest=$1
  while [ "$zk_rest" != "${zk_rest#*.}" ]; do
    zk_file=$zk_file/${zk_rest%%.*}
    zk_rest=${zk_rest#*.}
  done
  zk_file=$zk_file/$zk_rest
}

# read_sysctl KEY...: values, and whether this host may write them.
read_sysctl() {
  for zk_key in "$@"; do
    sysctl_file "$zk_key"
    if [ -w "$zk_file" ] && [ -r "$zk_file" ]; then
      read -r zk_value <"$zk_file"
      zk_frame fact "sysctl $zk_key" "$zk_value"
    fi
  done
}

# do_sysctl KEY VALUE...
do_sysctl() {
  while [ $# -gt 0 ]; do
    sysctl_file "$1"
    if ! printf '%s\n' "$2" >"$zk_file"; then
      echo "the kernel does not take $1 = $2"
      return 1
    fi
    shift 2
  done
}
