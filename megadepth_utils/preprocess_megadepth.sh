#!/usr/bin/env bash
# preprocess_megadepth.sh MEGADEPTH OUTPUT: scene info of every scene of MEGADEPTH/Undistorted_SfM.
# Scenes whose OUTPUT/<scene>.npz is there are skipped, so that a stopped run continues; remove the file to redo a scene.
# Exit code: 0 done, 1 some scenes failed (they are listed), 2 bad arguments, 130 interrupted.
set -u

if [ "$#" -ne 2 ]; then
    echo "usage: $0 MEGADEPTH OUTPUT" >&2
    exit 2
fi
megadepth=$1
output=$2
python=${PYTHON:-python}

stop() {
    echo "interrupted: the same command continues from here" >&2
    exit 130
}
trap stop INT

if [ ! -d "$megadepth/Undistorted_SfM" ]; then
    echo "$megadepth/Undistorted_SfM is missing: run python -m megadepth_utils.undistort_reconstructions first" >&2
    exit 2
fi

made=0
skipped=0
failed=()
for folder in "$megadepth"/Undistorted_SfM/*/; do
    [ -d "$folder" ] || continue # no scene at all: the pattern itself
    scene=$(basename "$folder")
    if [ -e "$output/$scene.npz" ]; then
        skipped=$((skipped + 1))
    elif "$python" -m megadepth_utils.preprocess_scene \
        --base-path "$megadepth" --scene-id "$scene" --output-path "$output"; then
        made=$((made + 1))
    else
        [ "$?" -ne 130 ] || stop
        failed+=("$scene")
    fi
done

echo "scenes: $made preprocessed, $skipped done before, ${#failed[@]} failed"
if [ "${#failed[@]}" -gt 0 ]; then
    printf 'failed: %s\n' "${failed[@]}" >&2
    exit 1
fi
if [ "$((made + skipped))" -eq 0 ]; then
    echo "$megadepth/Undistorted_SfM has no scene" >&2
    exit 2
fi
