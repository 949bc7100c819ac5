#!/usr/bin/env bash
# Puts each fault of faults/ into a copy of the tree, one at a time, and expects the model it names to fail; that the
# models pass without it is seen first. Prints a line for each and fails if a fault survived. Named on the command
# line: only the faults whose names begin so (`loom-tests/faults.sh 07 12`). A model gets FAULT_SECONDS, or it hangs.
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target/faults} RUST_BACKTRACE=0
unset "${!LOOM_@}"
seconds=${FAULT_SECONDS:-300}
# Always the same place, so that cargo rebuilds nothing but the crate.
tree=$CARGO_TARGET_DIR/tree
log=$CARGO_TARGET_DIR/faults.log

die() {
    echo "faults.sh: $*" >&2
    exit 2
}

field() {
    sed -n "s/^$1: //p" "$2"
}

build() {
    cargo test --quiet --features loom --test loom --no-run >"$log" 2>&1 || {
        cat "$log" >&2
        die "$1 does not compile"
    }
}

# models SECONDS NAME…: runs these for so long at most, 0: to their end; the output to the log.
models() {
    timeout "$1" cargo test --features loom --test loom -- --exact --test-threads 2 "${@:2}" >"$log" 2>&1
}

patches=()
if (($# == 0)); then
    patches=("$root"/loom-tests/faults/*.patch)
else
    for name; do
        name=$(basename -- "$name" .patch)
        # A whole number: 10 is not 100.
        [[ $name == *[!0-9]* ]] || name+=-
        found=("$root/loom-tests/faults/$name"*.patch)
        [[ -e ${found[0]} ]] || die "no fault is named $name"
        patches+=("${found[@]}")
    done
fi

mkdir -p "$CARGO_TARGET_DIR"
exec 9>"$CARGO_TARGET_DIR/faults.lock"
flock -n 9 || die "another run is at work in $CARGO_TARGET_DIR"
rm -rf "$tree"
mkdir "$tree"
cd -- "$root"
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    [[ ! -e $file ]] || cp --parents -- "$file" "$tree"
done
cd -- "$tree"
# A repository of its own: inside another, `git apply` would take the paths for that one's.
git init --quiet

mapfile -t named < <(for patch in "${patches[@]}"; do field 'caught by' "$patch"; done | sort -u)
build 'the tree'
models 0 "${named[@]}" || {
    cat "$log" >&2
    die 'a model fails without a fault'
}
grep -q "^running ${#named[@]} test" "$log" || die "not all of these are models: ${named[*]}"

survived=0
for patch in "${patches[@]}"; do
    name=$(basename -- "$patch" .patch)
    model=$(field 'caught by' "$patch")
    git apply "$patch" || die "$name does not apply"
    build "$name"
    status=0
    models "$seconds" "$model" || status=$?
    message=$(grep -A1 -m1 'panicked at' "$log" | tail -n 1 | cut -c 1-90) || message=
    # That a model explored little is not that it failed.
    if ((status != 0 && status != 124)) && [[ -n $message && $message != *'interleavings, at least'* ]]; then
        echo "caught    $name by $model: $message"
    else
        survived=$((survived + 1))
        ((status == 124)) && verdict="hangs in" || verdict="survived"
        echo "SURVIVED  $name: $verdict $model"
    fi
    git apply --reverse "$patch"
done
echo "${#patches[@]} faults, $survived survived"
((survived == 0))
