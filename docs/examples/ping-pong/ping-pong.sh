#!/bin/sh
# Two agents in two tmux sessions play ping-pong by mail, and this prints what they wrote.
#
#   ping-pong.sh [ROUNDS]
#
# Everything is private and removed at the end: a home, a mailbox root and a tmux server in a temporary folder.
# The agents are shell scripts; no model and no network is needed. AGENTS names another program than `agents`.
set -eu

rounds=${1:-3}
agents=$(command -v "${AGENTS:-agents}")
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d "${TMPDIR:-/tmp}/ping-pong.XXXXXX")
export AGENTS_HOME="$folder/home" AGENTS_TMUX_SOCKET="$folder/tmux"
unset TMUX TMUX_PANE

end() {
    "$agents" stop --quiet --agent-name ping >/dev/null 2>&1 || true
    "$agents" stop --quiet --agent-name pong >/dev/null 2>&1 || true
    tmux -S "$AGENTS_TMUX_SOCKET" kill-server 2>/dev/null || true
    rm -rf "$folder"
}
trap end EXIT
trap 'exit 130' INT TERM

# Each gets a session, and an address in the mailbox root that both share: ping@agents.localhost and pong@…
for name in ping pong; do
    "$agents" launch "$name" --quiet --mailbox -- sh "$here/player.sh" "$agents" "$name" "$rounds" >/dev/null
    tmux -S "$AGENTS_TMUX_SOCKET" wait-for -S "$name"
done

# The first ball. From here on they play alone.
"$agents" mail send --quiet --agent-name ping --to pong@agents.localhost --subject "ping-pong" \
    --body-content "ping 1" >/dev/null

# Waits until both got all their mail, however fast they are.
"$agents" mail watch --agent-name pong --all --count "$rounds" --timeout 2m --include-body >"$folder/pings"
"$agents" mail watch --agent-name ping --all --count "$rounds" --timeout 2m --include-body >"$folder/pongs"

# One line per message, by turns.
paste - - <"$folder/pings" >"$folder/pings.lines"
paste - - <"$folder/pongs" >"$folder/pongs.lines"
paste -d '\n' "$folder/pings.lines" "$folder/pongs.lines"
echo
"$agents" list --quiet
