#!/usr/bin/env bash
# Installs the real coding agents that the tests drive, into target/real-agents. Tests of agents that are not there are
# skipped, so a registry that does not answer is said and is no failure.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."

folder=target/real-agents
# The versions whose screens and files were measured. Without a version, npm picks an older one on an older node.
packages=(
    @anthropic-ai/claude-code@2.1.330
    @openai/codex@0.169.0
    @google/gemini-cli@0.61.0
)

is_there() {
    local name="${1%@*}" version="${1##*@}"
    local file="$folder/node_modules/$name/package.json"
    [ -f "$file" ] && grep -q "\"version\": \"$version\"" "$file"
}

missing=()
for package in "${packages[@]}"; do
    is_there "$package" || missing+=("$package")
done
if [ "${#missing[@]}" -eq 0 ]; then
    echo "real agents: ${packages[*]} are in $folder"
    exit 0
fi
if ! command -v npm >/dev/null; then
    echo "real agents: there is no npm, so the tests with real agents are skipped"
    exit 0
fi

mkdir -p "$folder"
# All of them: npm removes from a folder what it was not asked for and no package.json names.
install=(npm install --prefix "$folder" --no-audit --no-fund --fetch-retries 1 --fetch-timeout 30000 --loglevel error)
if ! "${install[@]}" "${packages[@]}"; then
    echo "real agents: npm could not install ${missing[*]}, so the tests with them are skipped"
    exit 0
fi
echo "real agents: installed ${missing[*]} into $folder"
