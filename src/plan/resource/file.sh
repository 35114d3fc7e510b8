# shellcheck shell=sh

# do_file PATH OWNER GROUP MODE SIZE CONTENT
do_file() {
  zk_put "$@"
}

# do_attributes PATH OWNER GROUP MODE: the content is right already.
do_attributes() {
  zk_run chown -h -- "$2:$3" "$1" && zk_run chmod -- "$4" "$1"
}

# undo_file PATH
undo_file() {
  zk_run rm -f -- "$1"
}
