#!/bin/sh
# From photographs to a model on Kubernetes: indexed jobs made of kubernetes.yaml, one after the other.
#
#     kubernetes.sh [SHARES [WORKERS]]
#
# The claim d2sfm (ReadWriteMany) has the photographs in photos/ and gets all else in work/. WORKERS pods of a stage run
# at a time (default: all SHARES). After a failure run it again: what is there stays, and both numbers may be others.
#
# EXTRACT, PAIRS, MATCH, REFINE and RECONSTRUCT hold options of these commands, as in EXTRACT='--max-edge 1024'.
# PAUSE: seconds between two looks at a job.
set -eu
shares=${1:-8} workers=${2:-${1:-8}}
folder=$(dirname "$0") work=/data/work
database="--database $work/database.db" parts="--parts $work/parts"
index="\"\$((JOB_COMPLETION_INDEX + 1))/$shares\""

stage() { # NAME PIECES COMMAND: run the command in so many pods, and wait for all
    at_once=$(($2 < workers ? $2 : workers))
    kubectl delete job "d2sfm-$1" --ignore-not-found
    sed -e "s/^  name: .*/  name: d2sfm-$1/" -e "s/^  completions: .*/  completions: $2/" \
        -e "s/^  parallelism: .*/  parallelism: $at_once/" -e "s|- d2sfm .*|- d2sfm $3|" \
        "$folder/kubernetes.yaml" | kubectl apply -f -
    while :; do
        case $(kubectl get job "d2sfm-$1" -o 'jsonpath={.status.conditions[?(@.status=="True")].type}') in
            *Complete*) return ;;
            *Failed*) echo "job d2sfm-$1 failed: kubectl logs job/d2sfm-$1 tells why" >&2 && exit 1 ;;
        esac
        sleep "${PAUSE:-10}"
    done
}

stage extract "$shares" "extract --shard $index --images /data/photos --output $work/shards ${EXTRACT:-}"
stage pairs 1 "pairs $work/shards ${PAIRS:-}"
stage match "$shares" "match --shard $index $work/shards ${MATCH:-}"
stage assemble 1 "assemble $work/shards $database --descriptors"
for round in features grey-values continued-tracks; do
    stage "$round" "$shares" "refine --shard $index $database $parts ${REFINE:-}"
    stage "$round-together" 1 "refine $database $parts ${REFINE:-}"
done
stage reconstruct 1 "reconstruct $database --output $work/sparse --no-refine ${RECONSTRUCT:-}"
