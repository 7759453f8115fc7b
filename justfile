# Run `just --list` to see the recipes.

# Show the main job end to end, on a private tmux server
demo:
    cargo run --release -- demo

# Run every test
test:
    cargo test

# Install the real coding agents under target/, and run the tests that drive them
real-agents:
    session-fixtures/real-agents/install.sh
    cargo build --examples
    cargo test --test it -- real_ agent_ --nocapture

# Check format and lints
lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings

# Measure the gateway, its queue and its tracker
bench:
    cargo build --release --example scripted-agent
    cargo bench --bench gateway
    cargo bench --bench queue
    cargo bench --bench reading
    cargo bench --bench tracker

# Make the terminal picture and the man pages again
docs:
    cargo build --release
    python3 docs/make-demo-svg.py target/release/agents
    target/release/agents man docs/man

# Everything that must pass before a change is merged
ci:
    .ci/run
