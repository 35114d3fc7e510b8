# shellcheck shell=sh

# do_restore BINARY CONFIG SIZE WORD EPOCH: from the next SIZE bytes of payload. What was there is moved aside.
do_restore() {
  dd bs=65536 iflag=fullblock,count_bytes count="$3" status=none <&3 |
    "$1" restore "$2" - --ensemble-id "$4" --epoch "$5" --force
}
