//! Both families of variable names in the tmux session environment, in one table. Pure.

use crate::{
    api::{Host, MemoryPaths, PROTOCOL_VERSION},
    session::SessionRoot,
};

/// What a variable says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the table")]
pub enum Variable {
    ManifestPath,
    AgentId,
    AgentDefDir,
    MemoryDir,
    MemoFile,
    PagesDir,
    GatewayHost,
    GatewayPort,
    GatewayStatePath,
    GatewayProtocolVersion,
}

/// Ours first, the contract's beside it (contract section 2.1).
const NAMES: [(Variable, [&str; 2]); 10] = [
    (Variable::ManifestPath, ["AGENTS_MANIFEST_PATH", "HOUMAO_MANIFEST_PATH"]),
    (Variable::AgentId, ["AGENTS_AGENT_ID", "HOUMAO_AGENT_ID"]),
    (Variable::AgentDefDir, ["AGENTS_AGENT_DEF_DIR", "HOUMAO_AGENT_DEF_DIR"]),
    (Variable::MemoryDir, ["AGENTS_MEMORY_DIR", "HOUMAO_AGENT_MEMORY_DIR"]),
    (Variable::MemoFile, ["AGENTS_MEMO_FILE", "HOUMAO_AGENT_MEMO_FILE"]),
    (Variable::PagesDir, ["AGENTS_PAGES_DIR", "HOUMAO_AGENT_PAGES_DIR"]),
    (Variable::GatewayHost, ["AGENTS_GATEWAY_HOST", "HOUMAO_AGENT_GATEWAY_HOST"]),
    (Variable::GatewayPort, ["AGENTS_GATEWAY_PORT", "HOUMAO_AGENT_GATEWAY_PORT"]),
    (Variable::GatewayStatePath, ["AGENTS_GATEWAY_STATE_PATH", "HOUMAO_GATEWAY_STATE_PATH"]),
    (Variable::GatewayProtocolVersion, ["AGENTS_GATEWAY_PROTOCOL_VERSION", "HOUMAO_GATEWAY_PROTOCOL_VERSION"]),
];

/// The four that exist exactly while a gateway is live.
const LIVE: [Variable; 4] =
    [Variable::GatewayHost, Variable::GatewayPort, Variable::GatewayStatePath, Variable::GatewayProtocolVersion];

/// The three that make a session gateway-capable.
const CAPABLE: [Variable; 3] = [Variable::ManifestPath, Variable::AgentId, Variable::AgentDefDir];

/// The three that tell the agent where its memory is.
const MEMORY: [Variable; 3] = [Variable::MemoryDir, Variable::MemoFile, Variable::PagesDir];

/// Left behind by the predecessor after a crash or a detach; removed together with the live ones.
const LEFTOVERS: [&str; 4] = [
    "HOUMAO_GATEWAY_EXECUTION_MODE",
    "HOUMAO_GATEWAY_TMUX_WINDOW_ID",
    "HOUMAO_GATEWAY_TMUX_WINDOW_INDEX",
    "HOUMAO_GATEWAY_TMUX_PANE_ID",
];

/// The agent's own mail address, in a session that has a mailbox.
pub const MAILBOX_ADDRESS: &str = "AGENTS_MAILBOX_ADDRESS";

impl Variable {
    /// Our name and the contract's, in the order in which they are read.
    pub fn names(self) -> [&'static str; 2] {
        NAMES.iter().find(|(variable, _)| *variable == self).map_or([""; 2], |(_, names)| *names)
    }
}

/// Variables as they were read from a tmux session or a process.
#[derive(Debug, Clone, Default)]
pub struct SessionEnvironment {
    pairs: Vec<(String, String)>,
}

impl SessionEnvironment {
    /// Takes what was read.
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        Self { pairs }
    }

    /// Our name's value, else the contract's.
    pub fn get(&self, variable: Variable) -> Option<&str> {
        variable.names().iter().find_map(|name| self.named(name))
    }

    fn named(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Names of live variables (and the predecessor's leftovers) that are set.
    pub fn live_names(&self) -> Vec<String> {
        self.set_among(LIVE.iter().flat_map(|variable| variable.names()).chain(LEFTOVERS))
    }

    fn set_among<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<String> {
        names.filter(|name| self.pairs.iter().any(|(other, _)| other == name)).map(str::to_owned).collect()
    }
}

fn both(values: &[(Variable, String)]) -> Vec<(String, String)> {
    values.iter().flat_map(|(variable, value)| variable.names().map(|name| (name.to_owned(), value.clone()))).collect()
}

/// What makes a session gateway-capable, in both families.
pub fn capability(root: &SessionRoot, agent_id: &str, agent_def_dir: &str) -> Vec<(String, String)> {
    both(&[
        (Variable::ManifestPath, root.manifest().to_string_lossy().into_owned()),
        (Variable::AgentId, agent_id.to_owned()),
        (Variable::AgentDefDir, agent_def_dir.to_owned()),
    ])
}

/// Tells the agent its own address.
pub fn mailbox(address: &str) -> Vec<(String, String)> {
    vec![(MAILBOX_ADDRESS.to_owned(), address.to_owned())]
}

/// Tells the agent where its memory is, in both families.
pub fn memory(paths: &MemoryPaths) -> Vec<(String, String)> {
    both(&[
        (Variable::MemoryDir, paths.memory_root.clone()),
        (Variable::MemoFile, paths.memo_file.clone()),
        (Variable::PagesDir, paths.pages_dir.clone()),
    ])
}

/// The live binding, in both families.
pub fn live(root: &SessionRoot, host: Host, port: u16) -> Vec<(String, String)> {
    both(&[
        (Variable::GatewayHost, host.as_str().to_owned()),
        (Variable::GatewayPort, port.to_string()),
        (Variable::GatewayStatePath, root.state().to_string_lossy().into_owned()),
        (Variable::GatewayProtocolVersion, PROTOCOL_VERSION.to_owned()),
    ])
}

/// Every name of [`capability`], [`memory`] and [`mailbox`], for removing them.
pub fn capability_names() -> Vec<String> {
    CAPABLE
        .iter()
        .chain(&MEMORY)
        .flat_map(|variable| variable.names())
        .chain([MAILBOX_ADDRESS])
        .map(str::to_owned)
        .collect()
}

/// The predecessor's leftovers, for removing them.
pub fn leftover_names() -> Vec<String> {
    LEFTOVERS.iter().map(|name| (*name).to_owned()).collect()
}

/// Every name of [`live`], for removing them.
pub fn live_names() -> Vec<String> {
    LIVE.iter().flat_map(|variable| variable.names()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_wins_and_the_contracts_name_is_the_fallback() {
        let read = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            SessionEnvironment::new(pairs).get(Variable::ManifestPath).map(str::to_owned)
        };
        assert_eq!(read(&[("HOUMAO_MANIFEST_PATH", "/h"), ("AGENTS_MANIFEST_PATH", "/a")]).as_deref(), Some("/a"));
        assert_eq!(read(&[("HOUMAO_MANIFEST_PATH", "/h")]).as_deref(), Some("/h"));
        assert_eq!(read(&[("AGENTS_MANIFEST_PATH", "")]), None);
    }

    #[test]
    fn both_families_carry_the_same_values() {
        let live = live(&SessionRoot::at("/r"), Host::Loopback, 4711);
        assert_eq!(live.len(), 8);
        assert!(live.contains(&("AGENTS_GATEWAY_PORT".to_owned(), "4711".to_owned())));
        assert!(live.contains(&("HOUMAO_AGENT_GATEWAY_PORT".to_owned(), "4711".to_owned())));
    }
}
