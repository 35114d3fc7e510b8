# shellcheck shell=sh
# Swap off now. What would bring it back at the next boot is fstab's (its own resource), a unit's,
# or a generator's.

# read_swap: what swaps now, and whether each of it is this host's own.
read_swap() {
  zk_own="" zk_all=""
  while read -r zk_file zk_rest; do
    zk_all="$zk_all$zk_file $zk_rest
"
    [ "$zk_file" != Filename ] || continue
    zk_file=$(printf '%b' "$zk_file")
    [ ! -e "$zk_file" ] || zk_own="$zk_own$zk_file
"
  done </proc/swaps
  zk_frame fact swaps "$zk_all"
  zk_frame fact swaps-own "$zk_own"
  zk_zram=
  for zk_file in /usr/lib/systemd/system-generators/zram-generator \
    /lib/systemd/system-generators/zram-generator \
    /usr/local/lib/systemd/system-generators/zram-generator; do
    [ ! -x "$zk_file" ] || zk_zram=generator
  done
  for zk_file in /usr/lib/systemd/zram-generator.conf /etc/systemd/zram-generator.conf \
    /run/systemd/zram-generator.conf /usr/local/lib/systemd/zram-generator.conf; do
    [ ! -s "$zk_file" ] || zk_zram="$zk_zram configured"
  done
  if [ -e /etc/systemd/zram-generator.conf ] && [ ! -s /etc/systemd/zram-generator.conf ]; then
    zk_zram=off
  fi
  zk_frame fact zram "$zk_zram"
  # Services that make swap at boot, by their links and not by asking systemd: few hosts have one.
  zk_swappers=''
  for zk_file in /etc/systemd/system/*.wants/*zram*.service /etc/systemd/system/*.wants/*swap*.service \
    /etc/rc[2-5].d/S*zram* /etc/rc[2-5].d/S*swap*; do
    [ -e "$zk_file" ] || continue
    zk_file=${zk_file##*/}
    case $zk_file in S[0-9][0-9]*) zk_file=${zk_file#S[0-9][0-9]}.service ;; esac
    # Masked already.
    [ -c "/etc/systemd/system/$zk_file" ] || zk_swappers="$zk_swappers$zk_file
"
  done
  zk_frame fact swappers "$zk_swappers"
}

# do_swapoff FILE...: only what was listed, never `-a`: in a container the rest is somebody else's.
do_swapoff() {
  for zk_file in "$@"; do
    zk_run swapoff -- "$zk_file" || return
  done
}

# do_swap_units UNIT...: a unit that no file of fstab stands behind is masked.
do_swap_units() {
  for zk_unit in "$@"; do
    if [ -f "/etc/systemd/system/$zk_unit" ] && [ ! -L "/etc/systemd/system/$zk_unit" ]; then
      # Masking would need the place of the operator's own file: it stays, and is not started.
      zk_run systemctl disable --now -- "$zk_unit" || return
      zk_aside "/etc/systemd/system/$zk_unit" "/etc/systemd/system/$zk_unit.before-zkprov" || return
    fi
    zk_run systemctl mask --now -- "$zk_unit" || return
  done
}

# do_zram: an empty configuration is the generator's documented way to make nothing.
do_zram() {
  zk_file=/etc/systemd/zram-generator.conf
  if [ -s "$zk_file" ]; then
    zk_aside "$zk_file" "$zk_file.before-zkprov" || return
  fi
  zk_put "$zk_file" root root 0644 0 '' || return
  for zk_dev in /dev/zram[0-9]*; do
    [ ! -b "$zk_dev" ] || zk_run systemctl stop "systemd-zram-setup@${zk_dev##*/}.service" || return
  done
}
