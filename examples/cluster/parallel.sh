#!/bin/sh
# From photographs to a model by GNU parallel, on one computer or on several that see the same folders.
#
#     parallel.sh PHOTOS WORK [SHARES [JOBS]]
#
# Each stage is cut into SHARES pieces, of which JOBS are made at a time on each computer (a number, or 50% of the
# processors): one takes about as much memory as the command alone. After a failure run it again: what is there stays,
# and SHARES and JOBS may be others. For several computers, on which both folders have the same absolute paths:
#
#     PARALLEL='--sshloginfile hosts.txt' parallel.sh /shared/photos /shared/work 64
#
# EXTRACT, PAIRS, MATCH, REFINE and RECONSTRUCT hold options of these commands, as in EXTRACT='--max-edge 1024'.
set -eu
photos=$1 work=$2 shares=${3:-8} jobs=${4:-100%}
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
export OMP_NUM_THREADS
mkdir -p "$work"
shards=$work/shards database=$work/database.db parts=$work/parts

# Exit code 1 says that some photographs or pairs are left out, each named: the others continue.
alone() { # COMMAND ARGUMENT...
    d2sfm "$@" || [ $? -eq 1 ]
}
spread() { # COMMAND ARGUMENT...: all shares of it; those that run when one fails are completed
    command=$1
    shift
    # shellcheck disable=SC2016
    seq "$shares" | parallel -q --env OMP_NUM_THREADS --jobs "$jobs" --halt soon,fail=1 \
        sh -c 'd2sfm "$@" || [ $? -eq 1 ]' d2sfm "$command" --shard "{}/$shares" "$@"
}

# Words of the options are split on purpose.
# shellcheck disable=SC2086
{
    spread extract --images "$photos" --output "$shards" ${EXTRACT:-}
    alone pairs "$shards" ${PAIRS:-}
    spread match "$shards" ${MATCH:-}
    [ -e "$database" ] || alone assemble "$shards" --database "$database" --descriptors
    alone refine --database "$database" --parts "$parts" ${REFINE:-}
    while [ -e "$parts/plan.npz" ]; do # until all stages are through
        spread refine --database "$database" --parts "$parts" ${REFINE:-}
        alone refine --database "$database" --parts "$parts" ${REFINE:-}
    done
    d2sfm reconstruct --database "$database" --output "$work/sparse" --no-refine ${RECONSTRUCT:-}
}
