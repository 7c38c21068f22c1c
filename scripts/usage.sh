# shellcheck shell=sh
# Sourced first by each script, with its words: --help prints the comment at the script's head, and leaves.

usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }

# wrong MESSAGE
wrong() {
  echo "$0: $1" >&2
  usage >&2
  exit 2
}

# no_words WORD...: of a script that takes none.
no_words() { [ $# -eq 0 ] || wrong "\"$1\" is not known"; }

for word in "$@"; do
  case $word in
    -h | --help)
      usage
      exit 0
      ;;
  esac
done
