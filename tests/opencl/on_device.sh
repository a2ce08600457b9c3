#!/usr/bin/env bash
# Shows the OpenCL layer on a machine with real hardware, where nothing can be built.
#
#   on_device.sh pack BUILD FOLDER    here: copies what is needed from a build tree (preset release, tests built)
#   on_device.sh run FOLDER [SECONDS] there: runs it on the first GPU of NVIDIA's driver, or of OCL_ICD_VENDORS if that is set
#
# It prints a line for each thing shown, and ends with 0 if all were good. SECONDS: how long the stress runs (60).
set -uo pipefail

pack() {
  local build=$1 folder=$2
  mkdir -p "$folder/bin" "$folder/lib" "$folder/programs"
  cp "$build/bin/sluice" "$folder/bin/"
  cp "$build/lib/libsluice-opencl.so" "$folder/lib/"
  local program
  for program in usm_reproducer structures errors with_catch2 stress host_pointers hints bandwidth; do
    cp "$build/tests/opencl/$program" "$folder/programs/"
  done
  # Debian's loader knows layers, which a vendor's may not.
  ldd "$folder/bin/sluice" "$folder/programs/"* | awk '/=> \//{print $3}' | sort -u |
    grep -vE '/(libc|libm|ld-linux.*|libpthread|libdl|librt)\.so' | xargs -I{} cp -L {} "$folder/lib/"
  cp "$0" "$folder/"
  echo "packed: $(du -sh "$folder" | cut -f1) in $folder"
}

failed=0
# row NAME COMMAND...: the last line of what it prints, and whether it was good.
row() {
  local name=$1 output status
  shift
  output=$(timeout 280 "$@" 2>&1)
  status=$?
  if [ $status -eq 0 ]; then
    printf '%-34s good    %s\n' "$name" "$(tail -1 <<<"$output")"
  else
    printf '%-34s FAILED  status %s\n%s\n' "$name" "$status" "$(tail -15 <<<"$output")"
    failed=1
  fi
}

# many N COMMAND...: that many runs, all good.
many() {
  local count=$1 i
  shift
  for ((i = 0; i < count; ++i)); do "$@" >/tmp/many.$$ 2>&1 || { cat /tmp/many.$$; return 1; }; done
  echo "$count runs"
}

run() {
  cd "$1" || exit 2
  local seconds=${2:-60}
  export LD_LIBRARY_PATH=$PWD/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  if [ -z "${OCL_ICD_VENDORS:-}" ]; then
    echo libnvidia-opencl.so.1 >"$PWD/nvidia.icd"
    export OCL_ICD_VENDORS=$PWD/nvidia.icd
  fi
  export -f many
  local layer=(bin/sluice run --opencl --)
  bin/sluice doctor --opencl || failed=1
  local output
  output=$(programs/usm_reproducer 2>&1)
  if [ $? -ne 0 ] && grep -q "USM extension not supported" <<<"$output"; then
    printf '%-34s good    the extension is missing\n' "reproducer without the layer"
  else
    printf '%-34s differs\n%s\n' "reproducer without the layer" "$(tail -5 <<<"$output")"
  fi
  row "reproducer, usm" bash -c "many 20 ${layer[*]} programs/usm_reproducer"
  row "reproducer, svm" bash -c "many 20 ${layer[*]} programs/usm_reproducer svm"
  row "reproducer, preloaded" bin/sluice run --opencl-preload -- programs/usm_reproducer
  row "list and tree" "${layer[@]}" programs/structures
  row "errors" "${layer[@]}" programs/errors
  row "Catch2, twenty cases" "${layer[@]}" programs/with_catch2
  row "host pointers" "${layer[@]}" programs/host_pointers
  row "hints" env SLUICE_SHARED=migrate "${layer[@]}" programs/hints
  row "stress, 8 threads, ${seconds} s" "${layer[@]}" programs/stress "$seconds"
  echo
  # Huge pages are taken of the machine's pool (vm.nr_hugepages), and their row fails where that is empty.
  local pages
  for pages in small huge; do
    echo "SLUICE_HOST_PAGES=$pages"
    SLUICE_HOST_PAGES=$pages SLUICE_SHARED=migrate "${layer[@]}" programs/bandwidth || failed=1
  done
  echo
  for home in auto migrate host; do
    echo "SLUICE_SHARED=$home"
    SLUICE_SHARED=$home bin/sluice bench tradeoff || failed=1
  done
  exit $failed
}

case "${1:-}" in
  pack) pack "$2" "$3" ;;
  run) run "$2" "${3:-60}" ;;
  *) sed -n '2,8p' "$0"; exit 2 ;;
esac
