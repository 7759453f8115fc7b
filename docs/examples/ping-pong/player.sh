#!/bin/sh
# One player. It runs in the agent's pane, where `agents` finds session and mailbox by itself.
#
#   player.sh AGENTS-PROGRAM ping|pong ROUNDS
set -eu
agents=$1 name=$2 rounds=$3

# Its session is known to `agents` when its launch is over. tmux remembers a signal that came first.
tmux wait-for "$name"

while :; do
    # One line when there is unread mail: time, sender, subject, reference. No sleeping, no polling.
    line=$("$agents" mail watch --quiet --unread --count 1)
    message=${line##* }
    # Below the empty line stands what was written: `ping 2`. Reading marks it read.
    ball=$("$agents" mail read --quiet --message-ref "$message" | sed '1,/^$/d')
    round=${ball##* }
    echo "$name got: $ball"
    if [ "$name" = ping ]; then
        if [ "$round" -ge "$rounds" ]; then break; fi
        round=$((round + 1))
    fi
    "$agents" mail reply --quiet --message-ref "$message" --body-content "$name $round" >/dev/null
done

# The pane stays open, so that the session can be looked at.
exec sleep 3600
