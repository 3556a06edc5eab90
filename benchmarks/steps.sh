# What bench.sh and gpu.sh share: source it. Results go to benchmarks/results/, or to the folder $RESULTS.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export RESULTS=${RESULTS:-$here/results}
failed=()

# Run a command; if it fails it is named at the end, and the rest goes on.
run() {
    echo "== $*"
    "$@" || failed+=("$*")
}

step_rate() {
    python "$here/step_rate.py" | sed 's/.*"best": *\([0-9]*\).*/\1/'
}

name_failures() {
    if ((${#failed[@]})); then
        printf 'failed: %s\n' "${failed[@]}" >&2
        exit 1
    fi
}
