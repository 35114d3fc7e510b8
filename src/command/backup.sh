# shellcheck shell=sh

# backup_send BINARY SOCKET: the backup in frames `piece`, then one frame `backup` with what was said
# about it and the command's status in its last line. Nothing is kept on this host.
# shellcheck disable=SC2016 # the shell that split starts expands it
backup_send() {
  export zk_nonce
  exec 5>&1
  zk_said=$({
    {
      "$1" admin --socket "$2" backup 2>&4 4>&- 5>&-
      echo "status $?" >&4
    } | SHELL=/bin/sh split --bytes=1048576 --filter='
        printf "\n@%s piece backup\n" "$zk_nonce"
        cat
        printf "\n@%s .\n" "$zk_nonce"' - /x >&5 4>&-
  } 4>&1)
  exec 5>&-
  zk_frame backup end "$zk_said"
}

# ask_empty BINARY SERVER: whether nothing but /zookeeper is there.
ask_empty() {
  zk_frame fact root "$(zk_tool "$1" shell --server "$2" ls / 2>&1)"
}
