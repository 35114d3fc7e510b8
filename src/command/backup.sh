# shellcheck shell=sh

# backup_send BINARY SOCKET: the backup. Nothing is kept on this host.
backup_send() {
  zk_pieces "$1" admin --socket "$2" backup
}

# ask_empty BINARY SERVER: whether nothing but /zookeeper is there.
ask_empty() {
  zk_frame fact root "$(zk_tool "$1" shell --server "$2" ls / 2>&1)"
}
