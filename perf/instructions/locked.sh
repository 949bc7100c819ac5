#!/usr/bin/env bash
# Counts, of each operation, the instructions and those of them that are locked (on x86-64: with a lock prefix, or an exchange
# with memory), by callgrind and objdump: what the machine's time for a locked instruction is to be multiplied with. `locked.sh`
# prints the table, `locked.sh write` writes it into PERF.md too. Fails where an operation takes more locked
# instructions than a bench's floor for it says, by a twentieth: what is now and then, as a magazine from the depot, is no floor.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/../../target}
for tool in valgrind objdump; do
    command -v "$tool" >/dev/null || { echo "SKIPPED: there is no $tool" && exit 77; }
done
[[ $(uname -m) == x86_64 ]] || { echo "SKIPPED: locked instructions are those of x86-64" && exit 77; }
cargo build --quiet --release --bin locked
program=$CARGO_TARGET_DIR/release/locked
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
objdump -d --no-show-raw-insn "$program" | awk '/\tlock |\txchg .*\(/ { sub(":", "", $1); print $1 }' >"$work/locks"

# The addresses are those of the file: valgrind's are that plus where the program is loaded, which the first line of the map says.
count() { # OPERATION TIMES: all instructions, and the locked ones of the program itself
    valgrind --tool=callgrind --dump-instr=yes --dump-line=no --compress-pos=no --compress-strings=no \
        --callgrind-out-file="$work/out" "$program" "$1" "$2" >"$work/log" 2>&1 || { cat "$work/log" >&2 && exit 1; }
    awk '
        FNR == NR { locked["0x" $1] = 1; next }
        /^summary:/ { all = $2 }
        /^ob=/ { ours = /\/locked$/ }
        /^calls=/ { getline; next }
        /^0x/ && ours && ($1 in locked) { sum += $2 }
        END { print all, sum + 0 }' "$work/locks" "$work/out"
}

# operation, what divides it, the locked instructions that its bench has for a floor (-: none), its name in the benches
operations="\
child 1 3 child of one root, made and dropped
siblings 1 4 child beside 100 live siblings
canceled 1 4 child made, cancelled and dropped
values 1 4 child of a root that carries values
queue 1 4 first in, first out, 64 in flight
batch 100 - a batch of 100 made and dropped, a child
wait 1 3 first wait on a hot root: made, polled once, dropped
chain 1 9 chain of 1,000 made, cancelled at its root and dropped, a level
timeout 1 5 timeout armed and disarmed
request 1 12 request: child with a timeout, a pending wait, done
set 1 - value set on none, of a context with a node"

failed=0
table=$(
    echo '| | instructions | of them locked |'
    echo '|---|--:|--:|'
    while read -r operation parts floor name; do
        read -r all_few locked_few < <(count "$operation" 2000)
        read -r all_many locked_many < <(count "$operation" 4000)
        awk -v all=$((all_many - all_few)) -v locked=$((locked_many - locked_few)) -v n=$((2000 * parts)) -v name="$name" \
            'BEGIN { printf "| %s | %.0f | %.2f |\n", name, all / n, locked / n }'
        if [[ $floor != - ]] && ((locked_many - locked_few > 2000 * floor * 21 / 20)); then
            echo "$name: more than the $floor locked instructions of its floor" >&2
            failed=1
        fi
    done <<<"$operations"
    ((failed == 0))
) || failed=1
echo "$table"
if [[ ${1-} == write ]]; then
    {
        echo "$(date -u +'%Y-%m-%d %H:%M UTC'), commit $(git rev-parse --short HEAD), by \`perf/instructions/locked.sh write\`, $(rustc --version)."
        echo
        echo "$table"
    } >"$work/section"
    sed -i -e '/<!-- locked:begin -->/,/<!-- locked:end -->/{ /<!-- locked:begin -->/{ p; r '"$work/section"'
        }; /<!-- locked:end -->/p; d }' ../../PERF.md
fi
exit "$failed"
