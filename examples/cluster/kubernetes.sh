#!/bin/sh
# From photographs to a model on Kubernetes: indexed jobs made of kubernetes.yaml, one after the other.
#
#     kubernetes.sh [SHARES [WORKERS]]
#
# The claim d2sfm (ReadWriteMany) has the photographs in photos/ and gets all else in work/. WORKERS pods of a stage run
# at a time (default: all SHARES). After a failure run it again: what is there stays, and both numbers may be others.
#
# EXTRACT, PAIRS, MATCH, REFINE and RECONSTRUCT hold options of these commands, as in EXTRACT='--max-edge 1024'. DATA:
# where the claim is in a pod; STAGES: how many refinement has, 3 for each round; PAUSE: seconds between two looks.
set -eu
shares=${1:-8} workers=${2:-${1:-8}} data=${DATA:-/data}
folder=$(dirname "$0") shards=$data/work/shards database=$data/work/database.db parts=$data/work/parts
index="\"\$((JOB_COMPLETION_INDEX + 1))/$shares\""

stage() { # NAME PIECES COMMAND: run the command in so many pods, and wait for all
    at_once=$(($2 < workers ? $2 : workers))
    kubectl delete job "d2sfm-$1" --ignore-not-found
    sed -e "s/^  name: .*/  name: d2sfm-$1/" -e "s/^  completions: .*/  completions: $2/" \
        -e "s/^  parallelism: .*/  parallelism: $at_once/" -e "s#mountPath: .*#mountPath: $data#" \
        -e "s#- d2sfm .*#- $3 || test \$? -eq 1#" "$folder/kubernetes.yaml" | kubectl apply -f -
    while :; do
        case $(kubectl get job "d2sfm-$1" -o 'jsonpath={.status.conditions[?(@.status=="True")].type}') in
            *Complete*) return ;;
            *Failed*) echo "job d2sfm-$1 failed: kubectl logs job/d2sfm-$1 tells why" >&2 && exit 1 ;;
        esac
        sleep "${PAUSE:-10}"
    done
}

stage extract "$shares" "d2sfm extract --shard $index --images $data/photos --output $shards ${EXTRACT:-}"
stage pairs 1 "d2sfm pairs $shards ${PAIRS:-}"
stage match "$shares" "d2sfm match --shard $index $shards ${MATCH:-}"
stage assemble 1 "test -e $database || d2sfm assemble $shards --database $database --descriptors"
refine="--database $database --parts $parts ${REFINE:-}"
stage plan 1 "d2sfm refine $refine"
for number in $(seq "${STAGES:-3}"); do # without a plan all is refined
    stage "refine-$number" "$shares" "test ! -e $parts/plan.npz || d2sfm refine --shard $index $refine"
    stage "gather-$number" 1 "test ! -e $parts/plan.npz || d2sfm refine $refine"
done
stage reconstruct 1 "d2sfm reconstruct --database $database --output $data/work/sparse --no-refine ${RECONSTRUCT:-}"
