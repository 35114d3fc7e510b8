# shellcheck shell=bash
# How the demos talk: what runs is shown before it runs.
say() { printf '\n%s\n' "== $*" >&2; }
show() {
  printf '\n$ %s\n' "$*" >&2
  "$@"
}
