#!/usr/bin/env bash
# All figures of README and docs once more:   benchmarks/all.sh [--list] DATA RESULTS
#
# DATA holds the sets of photographs, each with images/ and, but for brighton_beach and lund, ground_truth/; beside them
# mini_megadepth, oxford_affine, webcam and wxbs. The folders golden and weights (with d2_ots.pth) lie beside DATA.
# RESULTS gets databases, and of each run the log NAME.log, with an empty NAME.done beside it where it went well. The
# same command continues with what is not done. A run that fails does not stop the others; it is named at the end.
# Tables that README and docs mark are written there, so that `git diff` shows which figures changed. It takes many
# hours. --list prints what would be run. PYTHON is the interpreter (python).
set -uo pipefail

list=false
if [ "${1:-}" = --list ]; then
  list=true
  shift
fi
if [ $# -ne 2 ]; then
  echo "error: two folders are needed: benchmarks/all.sh [--list] DATA RESULTS" >&2
  exit 2
fi
data=$(realpath -m "$1") results=$(realpath -m "$2") python=${PYTHON:-python}
cd "$(dirname "$0")/.." || exit 2
if ! $list; then
  [ -d "$data" ] || { echo "error: no folder $data" >&2; exit 2; }
  mkdir -p "$results" || exit 2
fi
beside=$(dirname "$data")
failed=()

run() { # NAME COMMAND...
  local name=$1
  shift
  if $list; then
    printf '%s:' "$name"
    printf ' %q' "$@"
    echo
  elif [ ! -e "$results/$name.done" ]; then
    echo "$name"
    if "$@" >"$results/$name.log" 2>&1; then
      touch "$results/$name.done"
    else
      echo "$name failed: $(tail -n 1 "$results/$name.log")"
      failed+=("$name")
    fi
  fi
}
fresh() { # NAME PATH: benchmarks take what is there for whole, which it is not where one was stopped
  $list || [ -e "$results/$1.done" ] || rm -rf "$2"
}
measure() { run "$1" "$python" "benchmarks/$2.py" "${@:3}"; }
d2sfm() { run "$1" "$python" -m d2sfm "${@:2}"; }

known=(herz_jesus_p8 fountain_p11)

# Databases that several runs begin from: features at 1024 px of known cameras, verified; the same, refined.
for set in "${known[@]}"; do
  at=$results/$set
  fresh "features_$set" "$at"
  measure "features_$set" accuracy "$data/$set" --known-cameras --max-edge 1024 --methods d2 --work "$at"
  d2sfm "verified_$set" match --database "$at/d2.db"
  run "copied_$set" cp "$at/d2.db" "$at/refined.db"
  d2sfm "refined_$set" refine --database "$at/refined.db" --images "$data/$set/images" --precision float32
done
for set in lund brighton_beach sacre_coeur; do
  single=()
  [ "$set" = lund ] && single=(--camera-mode single)
  d2sfm "features_$set" extract --database "$results/$set.db" --images "$data/$set/images" --precision float32 \
    "${single[@]}"
  run "copied_features_$set" cp "$results/$set.db" "$results/features_$set.db"
  d2sfm "verified_$set" match --database "$results/$set.db"
  run "copied_$set" cp "$results/$set.db" "$results/refined_$set.db"
  d2sfm "refined_$set" refine --database "$results/refined_$set.db"
  d2sfm "model_$set" reconstruct --database "$results/refined_$set.db" --output "$results/model_$set"
done

# README, docs/results.md, docs/performance.md, docs/refinement.md, docs/mapping.md, docs/run.md: poses
for set in "${known[@]}"; do
  more=(docs/refinement.md)
  [ "$set" = herz_jesus_p8 ] && more+=(README.md)
  fresh "accuracy_$set" "$results/full/$set"
  measure "accuracy_$set" accuracy "$data/$set" --known-cameras --seeds 0 1 2 3 4 --work "$results/full/$set" \
    --update docs/results.md "${more[@]}"
  for precision in float32 bfloat16; do
    measure "accuracy_${set}_$precision" accuracy "$data/$set" --known-cameras --methods d2 --precision "$precision" \
      --seeds 0 1 2 --update docs/performance.md
  done
  measure "accuracy_${set}_800" accuracy "$data/$set" --known-cameras --max-edge 800 --methods features refined \
    --seeds 0 1 2 3 4 --update docs/refinement.md
  measure "observations_$set" observations "$results/$set/d2.db" "$data/$set/ground_truth" --precision float32 \
    --update docs/refinement.md
  measure "frontier_$set" frontier "$data/$set" --known-cameras --max-edge 640 1024 --precision float32 \
    --update docs/run.md
done
measure known_cameras known_cameras "$data/herz_jesus_p8" "$data/fountain_p11" --databases "$results/full" \
  --update docs/mapping.md
fresh square "$results/square"
measure square square "$results/square" --views 7
measure accuracy_square accuracy "$results/square" --known-cameras --methods features refined --seeds 0 1 2 \
  --update docs/refinement.md
measure accuracy_brighton_beach accuracy "$data/brighton_beach" --update docs/results.md
measure accuracy_sacre_coeur accuracy "$data/sacre_coeur" --max-edge 1024 --methods sift refined \
  --seeds 0 1 2 3 4 5 6 7 8 9 --update docs/results.md
measure accuracy_sacre_coeur_30 accuracy "$data/sacre_coeur" --max-edge 1024 --methods features refined \
  --seeds {0..29} --processes 2 --update docs/results.md
measure accuracy_sacre_coeur_1600 accuracy "$data/sacre_coeur" --methods refined --seeds 0 1 2 3 4 \
  --update docs/refinement.md
measure frontier_sacre_coeur frontier "$data/sacre_coeur" --max-edge 512 1600 --precision float32
d2sfm starts_extract extract --database "$results/starts.db" --images "$data/sacre_coeur/images" --max-edge 1024 \
  --precision float32
d2sfm starts_match match --database "$results/starts.db"
d2sfm starts_refine refine --database "$results/starts.db"
measure starts starts "$results/starts.db" "$data/sacre_coeur/ground_truth" --seeds 0 1 2 3 4 --update docs/results.md
measure parity parity "$beside/golden" --weights "$beside/weights/d2_ots.pth"
d2sfm demo demo --output "$results/demo"
d2sfm run_lund run "$data/lund/images" --output "$results/run_lund"

# docs/results.md, docs/georeference.md: fewer pairs
measure retrieval retrieval "$results/lund.db" "$results/brighton_beach.db" "$results/sacre_coeur.db" \
  --update docs/results.md
measure retrieval_dense retrieval "$results/lund.db" "$results/brighton_beach.db" --neighbours 10 --dense \
  --update docs/results.md
measure gps_lund gps "$results/refined_lund.db" "$results/model_lund/0"
measure fewer_lund fewer_pairs "$results/features_lund.db" --ways exhaustive retrieval:10 spatial:10 \
  --update docs/results.md
measure fewer_brighton_beach fewer_pairs "$results/features_brighton_beach.db" --ways exhaustive+plain \
  retrieval:7+plain spatial:6+plain --update docs/results.md
for set in lund brighton_beach; do
  measure "georeference_$set" georeference gps "$results/refined_$set.db" "$results/model_$set/0" \
    --max-error-m 1 3 10 30 100 --update docs/georeference.md
done
measure georeference_demo georeference demo "$results/demo" --update docs/georeference.md

# docs/performance.md
measure speed speed "$data/sacre_coeur/images" --precision float32 bfloat16 --update docs/performance.md
# Fails where there is no GPU.
measure speed_gpu speed "$data/fountain_p11/images" --device cuda --precision float32 bfloat16 float16 \
  --update docs/performance.md
measure speed_multiscale speed "$data/sacre_coeur/images" --photographs 3 --multiscale --update docs/performance.md
for precision in float32 bfloat16; do
  measure "scaling_$precision" scaling "$data/sacre_coeur/images" --counts 10 --max-edge 1600 --precision "$precision"
done
measure scaling_multiscale scaling "$data/sacre_coeur/images" --counts 3 --max-edge 1600 --multiscale
measure scaling scaling "$data/sacre_coeur/images" --plot "$results/scaling.png"
measure precision precision "$data/sacre_coeur/images" --update docs/performance.md
measure refinement_float32 refinement "$data/herz_jesus_p8/images" --precision float32 --update docs/performance.md
measure refinement refinement "$data/herz_jesus_p8/images" --update docs/performance.md
measure matching matching
measure matching_200 matching --sizes --images 200
measure verification verification "$data" --seeds 0 --update docs/verification.md

# docs/growth.md
measure growth growth "$results/fountain_p11/d2.db" "$data/fountain_p11/ground_truth" --new 5 --new 2 7 --new 1 4 6 9 \
  --precision float32 --images "$data/fountain_p11/images" --cache "$results/maps" --update docs/growth.md
measure extension_fountain_p11 extension "$results/fountain_p11/refined.db" "$data/fountain_p11/ground_truth" \
  --parts 5 3 3 --update docs/growth.md
d2sfm estimated_extract extract --database "$results/fountain_estimated.db" --images "$data/fountain_p11/images" \
  --max-edge 1024 --camera-mode single --precision float32
d2sfm estimated_match match --database "$results/fountain_estimated.db"
d2sfm estimated_refine refine --database "$results/fountain_estimated.db"
measure extension_estimated extension "$results/fountain_estimated.db" "$data/fountain_p11/ground_truth" \
  --parts 5 3 3 --update docs/growth.md
measure extension_sacre_coeur extension "$results/refined_sacre_coeur.db" "$data/sacre_coeur/ground_truth" \
  --parts 8 2 --update docs/growth.md

d2sfm lund_extract extract --database "$results/lund_1024.db" --images "$data/lund/images" --max-edge 1024 \
  --camera-mode single --precision float32
run lund_copied cp "$results/lund_1024.db" "$results/features_lund_1024.db"
d2sfm lund_match match --database "$results/lund_1024.db"
d2sfm lund_refine refine --database "$results/lund_1024.db" --cache "$results/maps"
d2sfm lund_joint reconstruct --database "$results/lund_1024.db" --output "$results/lund_joint" --num-threads 1
measure extension_lund extension "$results/lund_1024.db" "$results/lund_joint/0" --parts 20 9 --update docs/growth.md
measure growth_lund growth "$results/features_lund_1024.db" "$results/lund_joint/0" --new 13 14 --precision float32 \
  --images "$data/lund/images" --cache "$results/maps" --update docs/growth.md

# docs/bridge.md, docs/night.md
fresh bridge "$results/six"
measure bridge bridge "$data/herz_jesus_p8" --known-cameras --photographs 6 --max-edge 768 --work "$results/six" \
  --update docs/bridge.md
measure transfer transfer "$results/six/bridged.db" "$data/herz_jesus_p8/ground_truth" --update docs/bridge.md
measure bridge_all bridge "$data/herz_jesus_p8" --known-cameras --all --max-edge 1024 --seeds 0 1 2 \
  --update docs/bridge.md
measure bridge_all_fountain_p11 bridge "$data/fountain_p11" --all --max-edge 1024 --seeds 0 1 2 3 4 \
  --precision float32 --update docs/bridge.md
measure bridge_night_like bridge "$data/sacre_coeur" --night-like --all --seeds 0 1 2 --update docs/bridge.md
fresh night "$results/night"
measure night night "$results/night" --picture "$results/night_square.png" --update docs/night.md

# docs/orientation.md, docs/undistort.md, docs/report.md
measure orientation orientation "$data/fountain_p11/images" "$data/sacre_coeur/images" "$data/lund/images" --draws 10 \
  --update docs/orientation.md
measure orientation_strips orientation "$data/brighton_beach/images" --draws 10 --strips --update docs/orientation.md
measure turned turned "$data/herz_jesus_p8" "$data/fountain_p11" --max-edge 480 --seeds 0 1 2 --update docs/orientation.md
measure undistort undistort "$data/fountain_p11" --megapixels 24 --count 4 --layouts colmap 3dgs nerfstudio \
  --update docs/undistort.md
measure undistort_small undistort "$data/fountain_p11" --count 4 --update docs/undistort.md
measure report report --page "$results/report.html"

# docs/localization.md, docs/evaluation.md
fresh localization "$results/localization"
fresh localization_1024 "$results/localization_1024"
measure localization localization "$data" --seeds 3 --foreign 2 --precision float32 --no-times --max-edge 800 \
  --work "$results/localization" --output "$results/localization.json" --update docs/localization.md
measure localization_1024 localization "$data" --sets sacre_coeur --seeds 3 --precision float32 --no-times \
  --max-edge 1024 --work "$results/localization_1024" --output "$results/localization_1024.json"
measure localization_times localization "$data" --sets herz_jesus_p8 --queries 3 --precision float32 --max-edge 1024 \
  --work "$results/localization_times" --output "$results/localization_times.json"
measure localization_gps localization_gps "$data/lund/images" --max-edge 1024
measure large_localization large_localization "$results/refined_sacre_coeur.db" "$results/model_sacre_coeur/0" \
  --images 1000 --queries 4
measure hpatches hpatches "$data/oxford_affine" "$data/webcam" --update docs/evaluation.md
measure hpatches_scales hpatches "$data/oxford_affine" --scales 0.5 1 2 --update docs/evaluation.md
measure hard_pairs hard_pairs "$data/wxbs" --update docs/evaluation.md

# docs/cluster.md, docs/pairs.md
measure reckoning reckoning --update docs/cluster.md
measure cluster cluster "$data/lund/images" --max-edge 480 --most 12 --refine --update docs/cluster.md
measure cluster_lund cluster "$data/lund/images" --shares 3 --num-workers 1
measure cluster_brighton_beach cluster "$data/brighton_beach/images" --max-edge 480 --shares 1 3 7 --num-workers 2 4 --refine
fresh shards "$results/shards"
measure shards shards --images 10000 --shares 2 --at-once 2 --folder "$results/shards" --descriptors
measure large_pairs large_pairs "$results/lund.db" "$results/brighton_beach.db" "$results/sacre_coeur.db" \
  --update docs/pairs.md
measure refinement_shares refinement_shares "$results/herz_jesus_p8/d2.db" --images "$data/herz_jesus_p8/images" \
  --cache "$results/maps" --shares 3 7 --update docs/refinement.md

# docs/large.md
fresh large_map "$results/large.jsonl"
measure large_map large map --images 100 300 1000 --mappers incremental global --results "$results/large.jsonl"
measure large large show "$results/large.jsonl" --to 4000 10000 --plot "$results/large.png" --update docs/large.md
fresh large_matching "$results/matching.db"
measure large_matching large_matching --images 10000 --features 500 --count 400 --database "$results/matching.db" \
  --update docs/large.md

# docs/training.md
megadepth=$data/mini_megadepth info=$results/scene_info
run scene_info "$python" -m megadepth_utils.preprocess_scene --base-path "$megadepth" --scene-id 0000 \
  --output-path "$info"
measure training training --dataset-path "$megadepth" --scene-info-path "$info" --scenes 0000 --min-overlap 0.3 \
  --precision float32 bfloat16 --update docs/training.md
measure training_parity training_parity "$beside/golden" "$megadepth" --weights "$beside/weights/d2_ots.pth"
measure preprocess preprocess

if [ ${#failed[@]} -gt 0 ]; then
  echo "${#failed[@]} failed, see their logs in $results: ${failed[*]}"
  exit 1
fi
