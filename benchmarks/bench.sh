#!/usr/bin/env bash
# How fast thirtytwo is beside other ways of doing the same, each pair measured by turns: `make bench`.
#
#     benchmarks/bench.sh CIFAR10 MNIST [CLONES]   sources of the images, such as paths; CLONES: a folder with clones of
#                                                  KellerJordan/cifar10-airbench and huggingface/pytorch-image-models
#     benchmarks/bench.sh --rehearse               the same commands on a few digits, so that none fails for a typo
#
# Takes hours on two cores, on which nothing else may run. Writes each result and one table of ratios to benchmarks/results/, or
# to the folder $RESULTS. What fails is named at the end; the rest goes on.
set -uo pipefail
. "$(dirname "$0")/steps.sh"

if [[ ${1-} == --rehearse ]]; then
    cifar10=digits mnist=digits clones=
    once=(--rounds 1) least=(cnn2) points=(--points 2) short=(--seconds 0.01) few=(--images 300 --epochs 1) whole=() rate=1
else
    cifar10=${1:?name a source of CIFAR-10, or --rehearse} mnist=${2:?name a source of MNIST} clones=${3-}
    once=() least=() points=() short=() few=() whole=(--cifar10 "$cifar10")
    rate=$(step_rate)
fi

run python "$here/plain_loop.py" "${least[@]}" --step-rate "$rate" --cifar10 "$cifar10" --mnist "$mnist" "${once[@]}" "${short[@]}"
run python "$here/frameworks.py" --step-rate "$rate" "$cifar10" ${clones:+--timm "$clones/pytorch-image-models/train.py"} "${once[@]}" "${few[@]}"
if [[ $clones ]]; then
    run python "$here/airbench.py" cifar10-fast --clones "$clones" --beside airbench94 airbench94_muon --rounds 2 "data.source=$cifar10"
fi
run python "$here/augmentations.py" "$cifar10" "${once[@]}" "${short[@]}"
run python "$here/start.py" --step-rate "$rate" "${whole[@]}" "${once[@]}"
run python "$here/growth.py" "${points[@]}" --step-rate "$rate" "$cifar10" "${once[@]}" "${short[@]}"
run python "$here/table.py"

name_failures
