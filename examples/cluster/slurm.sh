#!/bin/sh
# From photographs to a model on a SLURM cluster: array jobs, each of which begins when the one before it is through.
#
#     slurm.sh PHOTOS WORK [SHARES]
#
# Run it on a login node, with both folders on a file system that all nodes see. It submits and ends. After a failure,
# which ends the jobs behind it, run it again: what is there stays, and SHARES may be another number. sbatch takes
# partition, account and all else from SBATCH_PARTITION, SBATCH_ACCOUNT, ..., before what stands here.
#
# EXTRACT, PAIRS, MATCH, REFINE and RECONSTRUCT hold options of these commands, as in EXTRACT='--max-edge 1024'. STAGES:
# how many refinement has, 3 for each round.
#SBATCH --job-name=d2sfm
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=12:00:00
#SBATCH --requeue
set -eu
if [ "$1" = --job ]; then # what SLURM starts: --job SHARES NEEDED COMMAND ARGUMENT...
    shares=$2 needed=$3 command=$4
    shift 4
    [ -z "$needed" ] || [ -e "$needed" ] || exit 0 # all is done
    OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
    export OMP_NUM_THREADS
    # Exit code 1 says that some photographs or pairs are left out, each named: the others continue.
    d2sfm "$command" ${SLURM_ARRAY_TASK_ID:+--shard "$SLURM_ARRAY_TASK_ID/$shares"} "$@" || [ $? -eq 1 ]
    exit
fi
photos=$1 work=$2 shares=${3:-64} before='' needed=''
mkdir -p "$work"
shards=$work/shards database=$work/database.db parts=$work/parts

submit() { # OF COMMAND ARGUMENT...: one job (OF is one), or an array with a task for each share (OF is all)
    of=''
    [ "$1" = one ] || of=--array=1-$shares
    shift
    before=$(sbatch --parsable ${of:+"$of"} ${before:+--dependency="afterok:$before" --kill-on-invalid-dep=yes} \
        "$0" --job "$shares" "$needed" "$@")
    before=${before%%;*} # the name of the cluster may follow
}

# Words of the options are split on purpose.
# shellcheck disable=SC2086
{
    submit all extract --images "$photos" --output "$shards" ${EXTRACT:-}
    submit one pairs "$shards" ${PAIRS:-}
    submit all match "$shards" ${MATCH:-}
    [ -e "$database" ] || submit one assemble "$shards" --database "$database" --descriptors
    submit one refine --database "$database" --parts "$parts" ${REFINE:-}
    needed=$parts/plan.npz
    for _ in $(seq "${STAGES:-3}"); do
        submit all refine --database "$database" --parts "$parts" ${REFINE:-}
        submit one refine --database "$database" --parts "$parts" ${REFINE:-}
    done
    needed=''
    submit one reconstruct --database "$database" --output "$work/sparse" --no-refine ${RECONSTRUCT:-}
}
echo "job $before, the last one, writes $work/sparse"
