#!/usr/bin/env bash
# Fuzz the tables, graph metadata, JSON and texts that the library reads, under AddressSanitizer and
# UndefinedBehaviorSanitizer, with clang's libFuzzer: fuzz.sh SECONDS TABLE...
# The tables, small ones as seeds.py writes them, are the first inputs, and read the texts. Fails at a crash, at 2 GiB of memory and at
# an input that takes 25 seconds; the input is kept in the working folder. CXX names another clang, FUZZ_WORK another folder.
set -euo pipefail

[ $# -ge 2 ] || { echo "usage: [CXX=clang++] [FUZZ_WORK=FOLDER] fuzz.sh SECONDS TABLE..." >&2; exit 2; }
seconds=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
work=${FUZZ_WORK:-build/fuzz}
mkdir -p "$work/inputs"

sources=()
for name in added decoding description lines model normalise rows sanitize sha256 split table tokenizer; do sources+=("$here/../src/$name.cpp"); done
"${CXX:-clang++}" -std=c++17 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all '-DTOUGHEN_VERSION="fuzz"' \
  -I"$here/../include" -I"$here/../src" "$here/fuzz.cpp" "${sources[@]}" -o "$work/fuzz"

number=0
for table in "$@"; do
  number=$((number + 1))
  { printf T; tail -c +29 "$table"; } >"$work/inputs/table-$number"  # the header is 28 bytes
done
printf 'I\1\0\3\0\4\0\5\0\2\0\303\0\251\0\0\1\1\1' >"$work/inputs/ids"
printf 'M{"format": 1, "task": "single-label", "activation": "softmax", "temperature": 1.5, "labels": ["no", "yes"], "thresholds": null}' >"$work/inputs/metadata"
printf 'J"a text"\n["one \\ud83d\\ude00", "other"]\n[]\n' >"$work/inputs/json"
printf 'L\xef\xbb\xbfa very good film\tdon'"'"'t \xc3\xa9\xcc\x81 \xf0\x9f\x98\x80 \xe4\xb8\xad\xe6\x96\x87\r\n[MASK] <s>\n' >"$work/inputs/lines"
printf '%s\n' '"\"labels\""' '"\"temperature\""' '"multi-label"' '"sigmoid"' '"[MASK]"' '"\xef\xbb\xbf"' '"\xcc\x81"' >"$work/words"

TOUGHEN_FUZZ_TABLES=$(IFS=:; echo "$*") "$work/fuzz" "$work/inputs" -dict="$work/words" -max_len=20000 -len_control=0 -timeout=25 \
  -rss_limit_mb=2048 -max_total_time="$seconds" -artifact_prefix="$work/" -print_final_stats=1
