# shellcheck shell=sh
# Certificates on a host: read without their keys, requested with a new one, installed with it.

# read_certificates STORE: the certificates of a store in PEM, and nothing else of it.
read_certificates() {
  [ -f "$1" ] && [ ! -L "$1" ] || return 0
  sed -n '/^-----BEGIN CERTIFICATE-----$/,/^-----END CERTIFICATE-----$/p' -- "$1"
}

# read_cpu: what the CPU can, as the kernel names it.
read_cpu() {
  zk_frame_of fact cpu sed -n '/^\(flags\|Features\)[[:space:]]*:/{s/^[^:]*: *//p;q;}' /proc/cpuinfo
}

# do_request TOOL STORE: a key of this host's own beside STORE, which nobody but root reads; prints the request.
do_request() {
  zk_roots "$2" || return
  zk_parents "$2" || return
  rm -f -- "$2.next" || return
  "$1" certificate request "$2.next"
}

# do_certificate STORE OWNER GROUP MODE CHAIN: the key of the last request, and what was issued for it.
do_certificate() {
  zk_roots "$1.next" || return
  zk_key=$(cat -- "$1.next") || return
  zk_store="$zk_key
$5"
  zk_put "$1" "$2" "$3" "$4" "${#zk_store}" "$zk_store" || return
  rm -f -- "$1.next"
}
