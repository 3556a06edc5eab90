#!/usr/bin/env bash
# What is worth measuring on a day with a GPU, the most important first, within 25 minutes.
#
#     benchmarks/gpu.sh CIFAR10 [CLONES]  CIFAR10: a source of CIFAR-10, such as a path; CLONES: a folder with clones of
#                                         KellerJordan/cifar10-airbench and hiverge/cifar10-speedrun
#     benchmarks/gpu.sh --rehearse        the same commands on the processor, on a few digits, so that none fails for a typo
#
# Writes to benchmarks/results/, or to the folder $RESULTS. What fails is named at the end; the rest goes on.
set -uo pipefail
. "$(dirname "$0")/steps.sh"

if [[ ${1-} == --rehearse ]]; then
    device=cpu rounds=1 seeds=1 compiled=train.compile=false rate=1
    peers=() tests=(--collect-only) help=(--help)
    words=(data.source=digits data.size=16 data.limit=200 data.val=100 data.test=100 train.epochs=1 train.batch_size=64)
else
    device=cuda rounds=20 seeds=3 compiled=train.compile=true
    rate=$(step_rate)
    peers=(${2:+--clones "$2"}) tests=() help=()
    words=("data.source=${1:?name a source of CIFAR-10, or --rehearse}")
fi

benchmark() {
    script=$1 recipe=$2
    shift 2
    run python "$here/$script" "$recipe" "$@" --device "$device" --step-rate "$rate" "${words[@]}"
}

bench() {
    thirtytwo bench --device "$device" --json "${help[@]}" > "$RESULTS/bench-$device-$(date +%F).json"
}

run python -m pytest -q "$here/../tests/test_gpu.py" "$here/../tests/test_storage.py" "${tests[@]}"
run bench
benchmark airbench.py cifar10-94 "${peers[@]}" --rounds "$rounds"
benchmark recipes.py cifar10-94 --seeds "$seeds"
benchmark recipes.py cifar10-resnet18 --seeds 1
benchmark airbench.py cifar10-94 --rounds 3 "$compiled"
benchmark recipes.py cifar10-95 --seeds 1
benchmark recipes.py cifar10-96 --seeds 1

name_failures
