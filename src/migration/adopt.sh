# shellcheck shell=sh
# What of Apache ZooKeeper and Kafka runs on a host, and by what it was started. Changes nothing. What is
# read is bounded, and nothing of it is ever run.

# adopt_look
adopt_look() {
  zk_list='' zk_brokers=''
  # The main class is a word of its own: an editor that has its name open is no server.
  for zk_path in $(grep -lzxE 'org\.apache\.zookeeper\.server\.(quorum\.QuorumPeerMain|ZooKeeperServerMain)' /proc/[0-9]*/cmdline 2>/dev/null | head -n 4); do
    zk_list="$zk_list ${zk_path%/cmdline}"
  done
  for zk_path in $(grep -lzxF kafka.Kafka /proc/[0-9]*/cmdline 2>/dev/null | head -n 4); do
    zk_brokers="$zk_brokers ${zk_path%/cmdline}"
  done
  zk_frame fact servers "$zk_list"
  # Of several nothing more is asked: a host has one.
  case $zk_list in *' '*' '*) ;; ' '*) adopt_server "${zk_list# }" ;; esac
  # shellcheck disable=SC2086 # paths under /proc have no blanks
  zk_frame_of fact broker adopt_brokers $zk_brokers
}

# adopt_words DIR: the command of a process, a word a line.
adopt_words() {
  head -c 131072 "$1/cmdline" | tr '\n\0' ' \n'
}

# adopt_server DIR: the process in DIR.
adopt_server() {
  zk_frame_of fact words adopt_words "$1"
  zk_frame_of fact account stat -c %U -- "$1"
  # In a container the paths mean something else.
  zk_inside=no
  [ "$(stat -L -c %d:%i -- "$1/root/." 2>/dev/null)" = "$(stat -L -c %d:%i -- /)" ] || zk_inside=yes
  zk_frame fact inside "$zk_inside"
  # A server keeps the jars open that it runs from.
  zk_frame_of fact jar adopt_jar "$1"
  zk_config=$(adopt_words "$1" | grep -xA1 -E 'org\.apache\.zookeeper\.server\.(quorum\.QuorumPeerMain|ZooKeeperServerMain)' | tail -n 1)
  case $zk_config in
    /*) ;;
    *) zk_config=$(readlink -- "$1/cwd")/$zk_config ;;
  esac
  # As scripts put it together: `bin/../conf/zoo.cfg`.
  zk_config=$(realpath -ms -- "$zk_config")
  zk_frame fact config_path "$zk_config"
  [ -f "$1/root$zk_config" ] || return 0
  zk_frame_of fact config head -c 262144 "$1/root$zk_config"
  zk_value=$(adopt_value "$1/root$zk_config" dynamicConfigFile)
  [ -z "$zk_value" ] || [ ! -f "$1/root$zk_value" ] || zk_frame_of fact dynamic head -c 262144 "$1/root$zk_value"
  zk_value=$(adopt_value "$1/root$zk_config" dataDir)
  case $zk_value in /*) ;; *) zk_value=$(readlink -- "$1/cwd")/$zk_value ;; esac
  zk_frame_of fact myid head -c 64 "$1/root$zk_value/myid"
  zk_frame_of fact size timeout 20 du -sk -- "$1/root$zk_value"
  zk_unit=$(adopt_unit "$1")
  [ -n "$zk_unit" ] || return 0
  zk_frame_of fact unit systemctl show -p Id,FragmentPath,DropInPaths,UnitFileState,SourcePath,Type -- "$zk_unit"
}

# adopt_value FILE KEY: as far as a look goes; the file itself is read by the other end.
adopt_value() {
  sed -n "s/^[[:blank:]]*$2[[:blank:]]*[=:][[:blank:]]*//p" "$1" | tail -n 1 | tr -d '\r' | sed 's/[[:blank:]]*$//'
}

adopt_jar() {
  find "$1/fd" -lname '*/zookeeper-[0-9]*.jar' -printf '%l\n' 2>/dev/null | head -n 1
  # Where the class path names a link.
  find "$1/fd" -lname '*/zookeeper.jar' -printf '%l\n' 2>/dev/null | head -n 1 | xargs -r readlink -f --
}

# adopt_brokers DIR...: of their properties only what is no secret: these values, and the names of the others.
adopt_brokers() {
  for zk_path in "$@"; do
    zk_config=$(adopt_words "$zk_path" | grep -xA1 -F kafka.Kafka | tail -n 1)
    case $zk_config in
      /*) ;;
      *) zk_config=$(readlink -- "$zk_path/cwd")/$zk_config ;;
    esac
    printf 'file %s\nunit %s\n' "$zk_config" "$(adopt_unit "$zk_path")"
    [ ! -f "$zk_path/root$zk_config" ] || head -c 262144 "$zk_path/root$zk_config" | sed -n \
      -e 's/^[[:blank:]]*\(broker\.id\|listeners\|advertised\.listeners\|log\.dirs\|log\.dir\|zookeeper\.connect\|process\.roles\)[[:blank:]]*[=:][[:blank:]]*\(.*\)$/value \1 \2/p;t' \
      -e 's/^[[:blank:]]*\([A-Za-z][A-Za-z0-9._-]*\)[[:blank:]]*[=:].*$/key \1/p'
  done
}

# adopt_unit DIR: whose service the process is.
adopt_unit() {
  sed -n 's|^.*/\([^/]*\.service\)\(/.*\)\{0,1\}$|\1|p' "$1/cgroup" | head -n 1
}
