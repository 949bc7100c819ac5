#!/usr/bin/env bash
# Counts the instructions of the hot paths under callgrind and compares them with baseline.txt: `check.sh` fails where one
# takes more than 2 % more, `check.sh write` writes the baseline anew. Counts are those of one compiler: for another than
# the baseline's it says so and compares nothing. Installs gungraun-runner beside the build.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/../../target}
tools=$CARGO_TARGET_DIR/tools
version=$(sed -n 's/^gungraun = .*version = "=\([0-9.]*\)".*/\1/p' Cargo.toml)
compiler=$(rustc --version)
baseline=baseline.txt

command -v valgrind >/dev/null || { echo "SKIPPED: there is no valgrind" && exit 77; }
if [[ ${1-} != write && $(sed -n 's/^# //p' "$baseline") != "$compiler" ]]; then
    echo "SKIPPED: $baseline was counted with $(sed -n 's/^# //p' "$baseline"), and this is $compiler"
    exit 77
fi
cargo install --quiet --locked --root "$tools" --version "$version" gungraun-runner
results=$CARGO_TARGET_DIR/gungraun
rm -rf "$results"
log=$CARGO_TARGET_DIR/instructions.log
PATH=$tools/bin:$PATH cargo bench --quiet >"$log" 2>&1 || { cat "$log" && exit 1; }
counted=$(find "$results" -name 'callgrind.*.out' | sort | while read -r out; do
    name=$(basename "$(dirname "$out")")
    echo "${name%%.*} $(sed -n 's/^summary: \([0-9]*\).*/\1/p' "$out")"
done | awk '{ sum[$1] += $2 } END { for (name in sum) print name, sum[name] }' | sort) # a file a thread
[[ -n $counted ]] || { cat "$log" && echo "nothing was counted" && exit 1; }

if [[ ${1-} == write ]]; then
    { echo "# $compiler" && echo "$counted"; } >"$baseline"
fi
awk '
    FNR == NR { if ($1 != "#") was[$1] = $2; next }
    {
        seen[$1] = 1
        worse = !($1 in was) || $2 > was[$1] * 1.02
        failed += worse
        printf "%-28s %9d, was %9d%s\n", $1, $2, was[$1], worse ? "  FAILED" : ""
    }
    END {
        for (name in was) if (!(name in seen)) { print name " was not counted"; failed++ }
        if (failed) print "Slower than the baseline, or not in it: mend it, or say why and run `perf/instructions/check.sh write`."
        exit failed > 0
    }' "$baseline" <(echo "$counted")
