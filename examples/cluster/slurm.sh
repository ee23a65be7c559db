#!/bin/sh
# From photographs to a model on a SLURM cluster: array jobs, each of which begins when the one before it is through.
#
#     slurm.sh PHOTOS WORK [SHARES]
#
# Run it on a login node, with both folders on a file system that all nodes see. It submits and ends. After a failure,
# which ends the jobs behind it, run it again: what is there stays, and SHARES may be another number. sbatch takes
# partition, account and all else from SBATCH_PARTITION, SBATCH_ACCOUNT, ..., before what stands here.
#
# EXTRACT, PAIRS, MATCH, REFINE and RECONSTRUCT hold options of these commands, as in EXTRACT='--max-edge 1024'.
#SBATCH --job-name=d2sfm
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=12:00:00
#SBATCH --requeue
set -eu
if [ "$1" = --job ]; then # what SLURM starts: --job SHARES COMMAND ARGUMENT...
    shares=$2 command=$3
    shift 3
    OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
    export OMP_NUM_THREADS
    exec d2sfm "$command" ${SLURM_ARRAY_TASK_ID:+--shard "$SLURM_ARRAY_TASK_ID/$shares"} "$@"
fi
photos=$1 work=$2 shares=${3:-64} before=
mkdir -p "$work"
shards=$work/shards database=$work/database.db parts=$work/parts

submit() { # OF COMMAND ARGUMENT...: one job (OF is one), or an array with a task for each share (OF is all)
    of=$1
    shift
    [ "$of" = all ] && of=--array=1-$shares || of=
    before=$(sbatch --parsable ${of:+"$of"} ${before:+--dependency="afterok:$before" --kill-on-invalid-dep=yes} \
        "$0" --job "$shares" "$@")
    before=${before%%;*} # the name of the cluster may follow
}

# Words of the options are split on purpose.
# shellcheck disable=SC2086
{
    submit all extract --images "$photos" --output "$shards" ${EXTRACT:-}
    submit one pairs "$shards" ${PAIRS:-}
    submit all match "$shards" ${MATCH:-}
    submit one assemble "$shards" --database "$database" --descriptors
    for _ in features grey-values continued-tracks; do
        submit all refine --database "$database" --parts "$parts" ${REFINE:-}
        submit one refine --database "$database" --parts "$parts" ${REFINE:-}
    done
    submit one reconstruct --database "$database" --output "$work/sparse" --no-refine ${RECONSTRUCT:-}
}
echo "job $before, the last one, writes $work/sparse"
