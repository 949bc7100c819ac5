# Reads ThreadSanitizer reports; prints, and fails for, those in which each access was made by code under src/: of the
# frames of this project (`root`) the innermost is there. Not counted is what std's uninstrumented half makes doubtful:
# tests in src/tests/, which use its locks; what happens inside an Arc; and threads of tokio, whose queues stand on its
# locks, so that a context handed to a task looks unpublished there.

/^WARNING: ThreadSanitizer/ { report = ""; accesses = ours = doubtful = 0 }
{ report = report $0 "\n" }

# Heads of stacks: those of accesses are looked at, the others (location, threads) are not.
/^  [^ ]/ { in_access = undecided = 0 }
/^  .* of size [0-9]+ at .* by / { accesses++; in_access = undecided = 1 }

in_access && /tokio::runtime/ { doubtful = 1 }
undecided && /failed to restore the stack/ { ours++; undecided = 0 }
undecided && /^    #/ {
    if (index($0, "alloc::sync::Arc"))
        doubtful = 1
    else if (index($0, " " root)) {
        if (index($0, " " root "src/") && !index($0, " " root "src/tests/"))
            ours++
        undecided = 0
    }
}

/^SUMMARY: ThreadSanitizer/ {
    all++
    if (accesses == ours && !doubtful) {
        found++
        print report
    }
}

END {
    printf "%d of %d reports are about src/\n", found, all
    exit found > 0
}
