# shellcheck shell=sh
# Group and user: system accounts without a login.

# account_retry COMMAND...: another tool may hold the lock on the account files for a moment.
account_retry() {
  zk_tries=0
  until zk_said=$("$@" 2>&1); do
    zk_status=$?
    zk_tries=$((zk_tries + 1))
    case $zk_said in
      *lock*) [ "$zk_tries" -ge 50 ] || { sleep 0.2 && continue; } ;;
    esac
    printf '%s\ncommand "%s" ended with status %s\n' "$zk_said" "$*" "$zk_status"
    return 1
  done
}

# do_group NAME
do_group() {
  account_retry groupadd --system "$1"
}

# do_user NAME GROUP
do_user() {
  zk_shell=/usr/sbin/nologin
  [ -x "$zk_shell" ] || zk_shell=/sbin/nologin
  [ -x "$zk_shell" ] || zk_shell=/bin/false
  account_retry useradd --system --gid "$2" --no-create-home --home-dir /nonexistent \
    --shell "$zk_shell" --comment 'Kafka coordination' "$1"
}

# undo_user NAME
undo_user() {
  case $(getent passwd "$1") in
    '') ;;
    *:'Kafka coordination':*) zk_run userdel "$1" ;;
    *) echo 'kept, since zkprov did not make it' ;;
  esac
}

# undo_group NAME
undo_group() {
  ! getent group "$1" >/dev/null || getent passwd "$1" >/dev/null || zk_run groupdel "$1"
}
